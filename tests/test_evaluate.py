"""How good predictors are on recorded sessions: foretell evaluate."""

from __future__ import annotations

import math
import random
import re
from datetime import UTC
from pathlib import Path
from typing import Any

import orjson
import pytest

from foretell.cli import main
from foretell.operators.calibration import Calibration
from foretell.operators.predictors import Event
from foretell.testing import LogBuilder
from foretell.whatif.plot_hits import curve
from foretell.whatif.prequential import PREDICTORS, difference, marked, nights

Capture = pytest.CaptureFixture[str]
STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party"},
        **{f"goblin-{n}": {"name": f"Goblin {n}", "side": "foes"} for n in range(3)},
    },
}


def night(name: str, seed: int, rounds: int = 40) -> LogBuilder:
    """Mira strikes the same goblin for a while; the goblins strike her."""
    rng, log, target = random.Random(seed), LogBuilder(name).state(STATE), 0
    for _ in range(rounds):
        if rng.random() < 0.2:
            target = rng.randrange(3)
        log.wait(5).turn("mira").action("mira", "longsword", target=f"goblin-{target}")
        log.outcome("hit", damage=1)
        log.wait(5).turn(f"goblin-{target}").action(f"goblin-{target}", "scimitar", target="mira")
        log.outcome("miss")
    return log


@pytest.fixture
def logs(tmp_path: Path) -> list[str]:
    return [str(night(f"night-{n}", n).write(tmp_path / f"{n}.jsonl")) for n in range(3)]


def spoken(tmp_path: Path, honest: bool) -> str:
    """Mira says what she will do, or the opposite, and does it."""
    rng, log = random.Random(1), LogBuilder("spoken").state(STATE)
    options = [{"type": "attack", "name": name} for name in ("longsword", "bow", "dagger")]
    for _ in range(20):
        deed, other = rng.sample(["longsword", "bow", "dagger"], 2)
        log.wait(5).turn("mira", options=options)
        log.wait(1).say("mira", f"With my {deed if honest else other}!")
        log.wait(4).action("mira", deed, target="goblin-1").outcome("hit", damage=1)
    return str(log.write(tmp_path / f"{honest}.jsonl"))


def found(capsys: Capture, *arguments: str) -> Any:
    assert main(["evaluate", "--json", *arguments]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return orjson.loads(told.out)


def refused(capsys: Capture, *arguments: str) -> tuple[int, str]:
    try:
        code = main(["evaluate", *arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1, told
    return code, told.err


def test_every_predictor_is_marked_for_every_aspect(capsys: Capture, logs: list[str]) -> None:
    tables = found(capsys, *logs)["tables"]
    assert [table["aspect"] for table in tables] == ["actor", "target", "item", "action"]
    for table in tables:
        assert list(table["predictors"]) == list(PREDICTORS)
        assert [each["name"] for each in table["nights"]] == ["night-0", "night-1", "night-2"]
        for name, marks in table["predictors"].items():
            assert marks["events"] == 3 * 79
            assert 0 <= marks["top1"] <= marks["top3"] <= marks["coverage"] <= 1
            assert ("against" in marks) is (name != "ensemble")
    target = tables[1]["predictors"]
    assert target["last"]["top1"] > 0.8 > target["frequent"]["top1"]
    assert target["ensemble"]["log_loss"] < target["document"]["log_loss"]
    assert target["document"]["against"]["interval"][0] > 0


def test_a_predictor_sees_nothing_of_what_it_is_to_predict() -> None:
    """Keys drawn evenly cannot be foretold better than by chance, whatever was leaked."""
    rng = random.Random(3)
    events = [Event(1e9 + n, (rng.choice("abcdefghij"),)) for n in range(1500)]
    for name, make in PREDICTORS.items():
        marks = marked(make, events, UTC)
        assert marks.within(1) == pytest.approx(0.1, abs=0.03), name
        assert math.fsum(marks.losses) / len(marks.losses) > math.log(10) - 0.01, name


def test_nights_begin_with_nothing_learned_but_a_campaigns_logs_are_one(
    capsys: Capture, tmp_path: Path
) -> None:
    paths = []
    for number in range(2):
        path = night(f"n{number}", 7, rounds=5).write(tmp_path / f"{number}.jsonl")
        first, *rest = path.read_bytes().split(b"\n")
        header = {**orjson.loads(first), "campaign": "barrow"}
        one = tmp_path / f"campaign-{number}.jsonl"
        one.write_bytes(b"\n".join([orjson.dumps(header), *rest]))
        paths += [str(path), str(one)]
    alone, again = (n for n in nights([paths[0], paths[2]]))
    assert alone.events == again.events
    (campaign,) = nights([paths[1], paths[3]])
    assert campaign.name == "barrow"
    assert campaign.events["item"] == [*alone.events["item"], *again.events["item"]]
    apart = found(capsys, paths[0], paths[2], "--aspects", "item")["tables"][0]
    first, second = apart["nights"]
    assert {**first, "name": ""} == {**second, "name": ""}
    together = found(capsys, paths[1], paths[3], "--aspects", "item")["tables"][0]
    losses = [each["predictors"]["ensemble"]["log_loss"] for each in (together, apart)]
    assert losses[0] < losses[1]


def test_a_campaigns_logs_are_learned_as_they_were_played(tmp_path: Path) -> None:
    paths = []
    for day, seed in ((1, 5), (2, 6), (10, 7)):
        built = night("n", seed, rounds=5).write(tmp_path / f"{day}.jsonl")
        first, *rest = built.read_bytes().split(b"\n")
        header = {"id": f"n{day}", "campaign": "barrow", "started": f"2026-02-{day:02}T20:00:00Z"}
        paths.append(str(tmp_path / f"night-{day}.jsonl"))
        new = orjson.dumps({**orjson.loads(first), **header})
        Path(paths[-1]).write_bytes(b"\n".join([new, *rest]))
    (played,), (named,) = nights(paths), nights(sorted(paths))
    assert sorted(paths) != paths
    assert named.events == played.events
    assert [each.t for each in played.events["item"]] == sorted(
        each.t for each in played.events["item"]
    )


def test_a_night_that_is_given_twice_would_foretell_itself_and_is_refused(
    capsys: Capture, logs: list[str], tmp_path: Path
) -> None:
    copied = tmp_path / "copied.jsonl"
    copied.write_bytes(Path(logs[1]).read_bytes())
    for twice in (logs[1], str(copied)):
        code, said = refused(capsys, *logs, twice)
        assert code == 1 and f"{twice}: is the same night as {logs[1]}" in said


def test_the_hour_of_an_event_is_that_of_its_log_whatever_the_offset(tmp_path: Path) -> None:
    first, *rest = night("n", 1, rounds=2).write(tmp_path / "n.jsonl").read_bytes().split(b"\n")
    times = []
    for started in ("2026-02-25T23:30:00-05:00", "2026-02-26T04:30:00Z"):
        header = {**orjson.loads(first), "started": started}
        (tmp_path / "n.jsonl").write_bytes(b"\n".join([orjson.dumps(header), *rest]))
        (read,) = nights([str(tmp_path / "n.jsonl")])
        times.append(read.events["item"][0].t)
    assert len({*times}) == 1 and times[0] == pytest.approx(1_772_080_200, abs=60)


def test_two_predictors_are_compared_with_an_interval(capsys: Capture, logs: list[str]) -> None:
    (table,) = found(capsys, *logs, "--ab", "last,frequent", "--aspects", "target")["tables"]
    assert list(table["predictors"]) == ["last", "frequent"]  # 2-37
    against = table["predictors"]["last"]["against"]
    low, high = against["interval"]
    assert against["predictor"] == "frequent" and low < against["log_loss"] < high < 0
    same = found(capsys, *logs, "--ab", "last,frequent", "--aspects", "target")["tables"]
    assert same == [table]
    other = found(capsys, *logs, "--ab", "last,frequent", "--aspects", "target", "--seed", "5")
    assert other["tables"][0]["predictors"]["last"]["against"]["interval"] != [low, high]


def test_a_difference_that_chance_explains_has_an_interval_around_nought() -> None:
    rng = random.Random(1)
    pair = [Calibration(), Calibration()]
    for marks in pair:
        for _ in range(900):
            marks.add([], ("a",), rng.uniform(0.2, 0.8))
    mean, interval = difference(pair[:1], pair[1:], random.Random(0))
    assert interval is not None and interval[0] < 0 < interval[1] and abs(mean) < 0.1
    assert difference(pair[:1], pair[:1], rng) == (0.0, (0.0, 0.0))


def test_of_nights_that_differ_more_than_their_events_the_interval_says_so() -> None:
    nights: list[list[Calibration]] = [[], []]
    for at in range(8):  # each half of the nights is told far better by one of the two
        for side, row in enumerate(nights):
            row.append(Calibration())
            for _ in range(400):
                row[-1].add([], ("a",), 0.8 if at % 2 == side else 0.4)
    mean, interval = difference(*nights, random.Random(0))
    assert interval is not None and abs(mean) < 1e-9
    assert interval[0] < -0.2 and interval[1] > 0.2


def test_two_predictors_on_several_logs_are_compared_with_an_interval(
    capsys: Capture, logs: list[str]
) -> None:
    assert main(["evaluate", *logs, "--ab", "document,ensemble"]) == 0  # 2-37
    said = capsys.readouterr().out
    assert "log loss of document against ensemble (95 %" in said
    rows = [
        line for line in said[said.index("against ensemble") :].splitlines() if "target" in line
    ]
    assert re.search(r"[+-]\d\.\d{3} \([+-]\d\.\d{3} to [+-]\d\.\d{3}\)", rows[0])


def test_where_a_baseline_was_better_is_said(
    capsys: Capture, logs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(capsys, *logs)["not_best"] == []
    worse = dict(PREDICTORS)
    worse["ensemble"], worse["last"] = PREDICTORS["document"], PREDICTORS["recency"]
    monkeypatch.setattr("foretell.evaluate.PREDICTORS", worse)
    lines = found(capsys, *logs, "--aspects", "target")["not_best"]
    assert len(lines) == 4
    assert all("target" in line and ": last " in line for line in lines)
    assert main(["evaluate", *logs, "--aspects", "target"]) == 0
    assert "A baseline had a smaller log loss" in capsys.readouterr().out


def test_tables_are_printed_for_people(capsys: Capture, logs: list[str]) -> None:
    assert main(["evaluate", *logs, "--aspects", "item", "--each"]) == 0
    told = capsys.readouterr().out
    assert told.count("ensemble │") == 4 and "237 events of 3 nights" in told
    (table,) = found(capsys, *logs, "--aspects", "item")["tables"]
    marks = table["predictors"]["ensemble"]
    for row in marks["reliability"]:  # what 0.7 means
        assert f"{row['mean']:.1%} │ {row['came']:.1%}".replace(" ", "") in told.replace(" ", "")
    rates = marks["coverage_after"]["16"], marks["coverage"]  # 2-30
    assert "100" not in marks["coverage_after"]  # no night has so many
    assert f"│ {rates[0]:.1%} │   - │ {rates[1]:.1%} │".replace(" ", "") in told.replace(" ", "")
    assert "the ensemble had the smallest log loss" in told


def test_the_curve_is_the_share_of_hits_so_far() -> None:
    first, second = Calibration(), Calibration()
    for marks, came in ((first, "aab"), (second, "b")):
        for word in came:
            marks.add([(("a",), 0.6), (("c",), 0.2)], (word,), 0.5)
    assert curve([first, second]) == pytest.approx([1 / 2, 2 / 3, 2 / 4])  # 2-30


@pytest.mark.parametrize("end", ["png", "svg"])
def test_the_hit_rate_over_queries_is_drawn(
    capsys: Capture, logs: list[str], tmp_path: Path, end: str
) -> None:
    pictures = []
    for name in "ab":
        picture = tmp_path / f"{name}.{end}"
        found(capsys, logs[0], "--plot", str(picture), "--aspects", "item,target")
        pictures.append(picture.read_bytes())
    assert pictures[0] == pictures[1]
    assert pictures[0].startswith(b"\x89PNG" if end == "png" else b"<?xml")


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--aspects", "mood"), 2, "no aspect is called 'mood'; there are actor, target"),
        (("--ab", "document"), 2, "two different predictors"),
        (("--ab", "document,document"), 2, "two different predictors"),
        (("--ab", "document,oracle"), 2, "no predictor is called 'oracle'"),
        (("--zone", "Nowhere"), 2, "no time zone"),
        (("--plot", "x.gif"), 2, "no picture"),
        (("--aspects", "need"), 1, "no log has anything to predict"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_a_line(
    capsys: Capture, logs: list[str], options: tuple[str, ...], code: int, says: str
) -> None:
    assert (got := refused(capsys, *logs, *options))[0] == code and says in got[1]


def test_what_is_no_log_is_said(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("{}")
    assert refused(capsys, str(tmp_path / "x.jsonl"))[0] == 1
    assert refused(capsys, str(tmp_path / "missing.jsonl"))[0] == 1


# --- on real games


def imported(data: Path, folder: Path, kind: str) -> list[str]:
    pattern = {"nwn": "nwn/*.log", "showdown": "showdown/*.log", "fireball": "fireball/raw.jsonl"}
    paths = []
    for number, source in enumerate(sorted(data.glob(pattern[kind]))):
        paths.append(str(folder / f"{kind}-{number}.jsonl"))
        assert main(["import", kind, str(source), "-o", paths[-1]]) == 0
    return paths


@pytest.mark.parametrize(
    ("kind", "aspects"),
    [("nwn", "actor,target"), ("showdown", "item"), ("fireball", "actor,item,action")],
)
def test_on_real_games_the_ensemble_beats_the_formula_and_every_baseline(
    capsys: Capture, data: Path, tmp_path: Path, kind: str, aspects: str
) -> None:
    paths = imported(data, tmp_path, kind)
    capsys.readouterr()
    for table in found(capsys, *paths, "--aspects", aspects)["tables"]:
        rows = table["predictors"]
        for name in ("last", "frequent", "document"):
            assert rows["ensemble"]["log_loss"] < rows[name]["log_loss"], (table["aspect"], name)
        assert rows["ensemble"]["calibration_error"] < 0.05


def test_the_baselines_are_what_was_measured_of_the_recordings(
    capsys: Capture, data: Path, tmp_path: Path
) -> None:
    """The same target as before: 84-87 % in Neverwinter Nights."""
    paths = imported(data, tmp_path, "nwn")
    capsys.readouterr()
    (table,) = found(capsys, *paths, "--aspects", "target", "--ab", "last,ensemble")["tables"]
    assert 0.82 < table["predictors"]["last"]["top1"] < 0.88
    assert table["predictors"]["last"]["top1"] < table["predictors"]["ensemble"]["top1"]


# ── what a session would have foreseen ────────────────────────────────────────────────────────────


def test_words_are_marked_beside_habit(capsys: Capture, tmp_path: Path) -> None:
    [row] = found(capsys, spoken(tmp_path, honest=True))["foreseen"]
    assert row["done"] == row["habit"]["offered"] == row["with_words"]["offered"] == 20
    assert row["with_words"]["top1"] > 0.9 > row["habit"]["top1"]
    assert row["with_words"]["log_loss"] < row["habit"]["log_loss"] / 3
    lead = {"least": 4.0, "median": 4.0, "most": 4.0}
    named = {"done": 20, "spoken_before": 20, "named": 20, "lead_s": lead}
    assert row["words"] == {"all": named, "attacks": named}


def test_words_that_tell_nothing_cost_little(capsys: Capture, tmp_path: Path) -> None:
    [row] = found(capsys, spoken(tmp_path, honest=False))["foreseen"]
    assert row["words"]["all"]["named"] == 0
    assert row["with_words"]["log_loss"] < row["habit"]["log_loss"] + 0.2


def test_without_turns_there_is_nothing_to_foresee(capsys: Capture, tmp_path: Path) -> None:
    log = LogBuilder("calm").state(STATE)
    for _ in range(5):
        log.wait(5).undeclared("mira", "longsword", "hit", target="goblin-1")
    assert found(capsys, str(log.write(tmp_path / "calm.jsonl")))["foreseen"] == []


def test_the_table_says_how_early_it_was_named(capsys: Capture, tmp_path: Path) -> None:
    assert main(["evaluate", spoken(tmp_path, honest=True)]) == 0
    out = capsys.readouterr().out
    assert "20 deeds in turns, as foreseen" in out
    assert "20, 4.0\N{EN DASH}4.0 s before" in out


def test_a_real_evening_is_foreseen_better_with_its_words(
    capsys: Capture, tmp_path: Path, data: Path
) -> None:
    """All its attacks are preceded by words of the same player."""
    log = str(tmp_path / "fireball.jsonl")
    assert main(["import", "fireball", str(data / "fireball" / "raw.jsonl"), "-o", log]) == 0
    capsys.readouterr()
    [row] = found(capsys, log)["foreseen"]
    attacks = row["words"]["attacks"]
    assert (attacks["done"], attacks["spoken_before"]) == (12, 12)
    assert attacks["named"] >= 6 and attacks["lead_s"]["least"] > 2
    assert row["with_words"]["log_loss"] < row["habit"]["log_loss"] - 0.3
    assert row["with_words"]["top1"] > row["habit"]["top1"] > 0.1
