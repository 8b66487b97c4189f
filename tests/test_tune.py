"""Searching settings: the expression, the search, the split, what chance allows, and the file."""

from __future__ import annotations

import asyncio
import math
import random
import tomllib
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foretell
from foretell import Settings, replay, tune
from foretell.cli import main
from foretell.errors import ConfigError, ForetellError
from foretell.operators.predict import Intensity
from foretell.streams.events import Outcome
from foretell.streams.models import Message, ModelBadRequest, Purpose, Request
from foretell.testing import LogBuilder, Script, ScriptedModel, run_virtual
from foretell.whatif import trial, tuning
from foretell.whatif.chance import bootstrap, fewest_to_show, wilson
from foretell.whatif.objective import NAMES, Objective
from foretell.whatif.search import SPACE, Values, defaults, search
from foretell.whatif.tuning import settings_of

STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 12, "max_hp": 12},
    },
}


def night(thinking: float, swings: int = 3) -> LogBuilder:
    log = LogBuilder(f"night-{thinking:g}").state(STATE).wait(1).turn("mira")
    for _ in range(swings):
        log.action("mira", "longsword", target="goblin").wait(thinking).outcome("miss").wait(9)
    return log


@pytest.fixture
def logs(tmp_path: Path) -> list[str]:
    return [str(night(t).write(tmp_path / f"{t}.jsonl")) for t in (1, 3, 6, 20)]


def tuned(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["tune", "--json", *arguments]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return orjson.loads(told.out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    try:
        code = main(["tune", *arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("foretell: error: ") and told.err.count("\n") == 1, told.err
    return code, told.err


# --- the expression

FIGURES = {
    "latency": 2.0, "p50": 1.5, "p95": 4.0, "usd": 0.01, "tokens": 900.0, "wasted": 300.0,
    "hit_rate": 0.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("latency + 50 * usd", 2.5),
        ("-latency", -2.0),
        ("+p50 - -p95", 5.5),
        ("latency ** 2 / (p95 - 2)", 2.0),
        ("2 ** 3 ** 2 * usd", 5.12),
        ("wasted/tokens", 1 / 3),
        ("  1e-3*tokens\n+ 0 ", 0.9),
        ("1 - hit_rate", 0.5),
    ],
)
def test_an_expression_has_its_value(text: str, value: float) -> None:
    assert Objective(text)(FIGURES) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "usd / (hit_rate - 0.5)", "latency ** 1e9", "(0 - latency) ** 0.5",
        "9 ** 9 ** 9 ** usd ** -9", "1e308 * 10 * latency",
        "-1e308 * 10 * latency", "1e308 * 10 * latency - 1e308 * 10 * latency",
    ],
)  # fmt: skip
def test_what_has_no_value_is_never_the_best(text: str) -> None:
    assert Objective(text)(FIGURES) == math.inf


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is no expression"),
        ("latency +", "is no expression"),
        ("latency; usd", "is no expression"),
        ("latency\0", "is no expression"),
        ("(" * 240 + "latency" + ")" * 240, "is no expression"),
        ("speed", "no figure is called 'speed'; there are latency, p50"),
        ("__import__", "no figure is called '__import__'"),
        ("__import__('os').system('true')", "is not allowed"),
        ("latency.__class__", "'latency.__class__' is not allowed"),
        ("abs(latency)", "'abs(latency)' is not allowed"),
        ("latency if usd else p50", "is not allowed"),
        ("[latency][0]", "is not allowed"),
        ("(lambda: latency)()", "is not allowed"),
        ("(x := latency)", "is not allowed"),
        ("latency < usd", "is not allowed"),
        ("1if usd else 2", "is not allowed"),
        ("latency and usd", "is not allowed"),
        ("latency % 3", "is not allowed"),
        ("latency // 3", "is not allowed"),
        ("~latency", "is not allowed"),
        ("latency + True", "'True' is not allowed"),
        ("latency + 'usd'", "is not allowed"),
        ("latency + 3j", "'3j' is not allowed"),
        ("latency + ...", "is not allowed"),
        ("f'{latency}'", "is not allowed"),
        ("latency + 1e999", "a number in it is too large"),
        ("latency + 1" + "0" * 400, "a number in it is too large"),
        ("latency" + " + 1" * 200, "longer than 500 characters"),
        ("3 + 4", "'3 + 4' is the same for all"),
    ],
)
def test_anything_else_is_one_line_and_2(
    text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = refused(capsys, "no.jsonl", f"--minimize={text}")
    assert code == 2 and says in told


@given(st.text(alphabet="latencyusdp509 +-*/().,'_[]x=\\\0", max_size=40))
def test_any_text_is_an_expression_or_a_clear_error(text: str) -> None:
    with suppress(ConfigError):
        assert isinstance(Objective(text)(FIGURES), float)


# --- the search

START = defaults(Settings())


def test_the_grids_hold_the_defaults_and_only_what_settings_take() -> None:
    for at, (name, grid) in enumerate(SPACE.items()):
        assert START[at] in grid, name
        assert len(set(grid)) == len(grid)
        for value in grid:
            Settings.load({"max_wait": 9.0, "quiet": 0.0, name: value})


class Landscape:
    """Stands for playing logs: what each set of values costs, by a formula."""

    def __init__(self, cost: Any) -> None:
        self.cost = cost
        self.asked: list[Values] = []

    def __call__(self, values: Sequence[Values]) -> list[float]:
        self.asked += values
        return [self.cost(**dict(zip(SPACE, each, strict=True))) for each in values]


def bowl(intensity: Intensity, max_variants: int, quiet: float, **_: Any) -> float:
    """Best at aggressive, 3 variants, 0.1 s of quiet; aggressive looks worst at the defaults."""
    if intensity is Intensity.OFF:
        return 5.0
    if intensity is Intensity.CONSERVATIVE:
        return 4.0 + abs(max_variants - 6)
    return 1.0 + abs(max_variants - 3) + 10 * abs(quiet - 0.1)


def test_the_best_is_found_though_it_looks_worst_at_first() -> None:
    land = Landscape(bowl)
    found = search(START, land, 1000, random.Random(0))
    best = dict(zip(SPACE, START, strict=True))
    best |= {"intensity": Intensity.AGGRESSIVE, "max_variants": 3, "quiet": 0.1}
    assert dict(zip(SPACE, found.values, strict=True)) == best  # what changes nothing stays
    assert not found.cut_short
    assert found.tried == len(land.asked) == len(set(land.asked))


@pytest.mark.parametrize("most", [2, 7, 20])
def test_a_search_keeps_to_its_budget_and_says_so(most: int) -> None:
    land = Landscape(bowl)
    found = search(START, land, most, random.Random(0))
    assert found.cut_short
    assert found.tried == len(land.asked) == most
    assert bowl(**dict(zip(SPACE, found.values, strict=True))) == min(
        bowl(**dict(zip(SPACE, each, strict=True))) for each in land.asked
    )


def test_where_nothing_is_better_the_defaults_stay() -> None:
    for cost in (lambda **_: 1.0, lambda **_: math.inf):
        assert search(START, Landscape(cost), 500, random.Random(3)).values == START


def test_a_search_asks_for_no_impossible_settings_and_the_same_each_time() -> None:
    seen = []
    for seed in (1, 1, 2):
        land = Landscape(lambda quiet, max_wait, **_: max_wait - quiet)
        search(START, land, 500, random.Random(seed))
        for each in land.asked:
            settings_of(Settings(), each)
        seen.append(land.asked)
    assert seen[0] == seen[1] != seen[2]


# --- the split, and chance


@given(st.integers(0, 30), st.floats(0, 0.99), st.integers(0, 9))
def test_logs_are_split_whole_and_both_sides_have_some(many: int, share: float, seed: int) -> None:
    logs = [str(n) for n in range(many)]
    training, held = tune.split(logs, share, random.Random(seed))
    assert sorted(training + held, key=int) == logs
    assert (training, held) == tune.split(logs, share, random.Random(seed))
    if many >= 2 and share > 0:
        assert training and held
        assert abs(len(held) - many * share) <= 1
    else:
        assert held == []


@pytest.mark.parametrize(
    ("picked", "votes", "low", "high"),
    [
        (0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (8, 10, 0.4902, 0.9433),
        (9, 10, 0.5958, 0.9821), (10, 10, 0.7225, 1.0), (81, 263, 0.2553, 0.3662),
    ],
)  # fmt: skip
def test_the_interval_of_a_share_is_wilsons(
    picked: int, votes: int, low: float, high: float
) -> None:
    assert wilson(picked, votes) == pytest.approx((low, high), abs=5e-5)


def test_a_share_of_nothing_has_no_interval() -> None:
    for picked, votes in ((0, 0), (3, 2), (-1, 2)):
        with pytest.raises(ValueError, match="no share"):
            wilson(picked, votes)
    assert [fewest_to_show(votes) for votes in (0, 3, 4, 10, 100)] == [None, None, 4, 9, 60]


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def test_the_bootstrap_is_that_of_the_mean() -> None:
    """Beside the interval of normal theory, which holds for the mean of 200 values."""
    rng = random.Random(5)
    pairs = [(1.0, 1.0 + rng.gauss(0.2, 1.0)) for _ in range(200)]
    changes = [second - first for first, second in pairs]
    half = 1.96 * math.sqrt(mean([(c - mean(changes)) ** 2 for c in changes]) / 200)
    found = bootstrap([pairs], mean, random.Random(1))
    expected = (mean(changes) - half, mean(changes) + half)
    assert found == pytest.approx(expected, abs=0.03)
    assert found == bootstrap([pairs], mean, random.Random(1))
    assert found != bootstrap([pairs], mean, random.Random(2))


@pytest.mark.parametrize(("many", "least"), [(2, 0.7), (10, 0.88)])
def test_what_hangs_together_is_drawn_together(many: int, least: float) -> None:
    """Three tenths of the variance are the night's: how often the interval holds the truth."""
    rng = random.Random(9)
    held = alone = 0
    for seed in range(100):
        nights: list[list[tuple[float, float]]] = []
        for _ in range(many):
            night = rng.gauss(0, math.sqrt(0.3))
            changes = [night + rng.gauss(0, math.sqrt(0.7)) for _ in range(12)]
            nights.append([(0.0, change) for change in changes])
        low, high = bootstrap(nights, mean, random.Random(seed), 200) or (1.0, 1.0)
        held += low <= 0 <= high
        flat = [pair for night in nights for pair in night]
        low, high = bootstrap([flat], mean, random.Random(seed), 200) or (1.0, 1.0)
        alone += low <= 0 <= high
    assert alone < 75 and held >= 100 * least


def test_a_night_without_outcomes_of_both_is_left_out() -> None:
    pairs = [(1.0, 2.0), (3.0, 3.0), (2.0, 5.0)]
    one = bootstrap([pairs], mean, random.Random(1))
    assert one is not None and one == bootstrap([[], pairs, []], mean, random.Random(1))


def test_the_bootstrap_keeps_pairs_together_and_admits_when_it_knows_nothing() -> None:
    rng = random.Random(5)
    same = [(value, value - 1) for value in (rng.gauss(0, 100) for _ in range(50))]
    assert bootstrap([same], mean, random.Random(0)) == pytest.approx((-1, -1))
    assert bootstrap([same[:1]], mean, random.Random(0)) is None
    assert bootstrap([same], lambda _: math.inf, random.Random(0)) is None


# --- one log under one set of settings


def test_the_figures_are_those_of_the_replay(logs: list[str]) -> None:
    played = trial.trial((logs[1], Settings().model_dump(mode="json")))
    report = replay.report(logs[1], Settings())
    found = trial.figures(list(played.told.values()))
    for name, key in (("latency", "mean"), ("p50", "p50"), ("p95", "p95")):
        assert found[name] == pytest.approx(report["latency_ms"][key] / 1000, abs=1e-6)
    assert found["hit_rate"] == pytest.approx(report["hit_rate"], abs=1e-4)
    assert found["usd"] == pytest.approx(report["cost_usd"]["with"] / 3)
    tokens = report["tokens"]
    assert found["wasted"] == pytest.approx(tokens["wasted"] / 3)
    assert found["tokens"] == pytest.approx((tokens["prefetch"] + tokens["foreground"]) / 3)
    assert played.wrong == 0


def test_what_is_told_again_is_no_further_outcome(tmp_path: Path) -> None:
    log = night(3)
    for _ in range(4):
        log.wait(9).retell()
    played = trial.trial((str(log.wait(30).write(tmp_path / "again.jsonl")), {}))
    inputs = replay.load(str(tmp_path / "again.jsonl"))[1]
    asked = [number for number, each in enumerate(inputs, 1) if isinstance(each, Outcome)]
    assert [*played.told] == asked
    assert math.fsum(each.usd for each in played.told.values()) > 0


def test_an_outcome_takes_the_requests_made_for_it() -> None:
    async def ask() -> dict[int, float]:
        asked = trial._Asked(ScriptedModel())
        prompt = (Message("user", "?"),)
        for at, purpose in (
            (1, "prefetch"), (2, "prefetch"), (5, "foreground"), (6, "prefetch"),
            (9, "foreground"), (10, "foreground"), (12, "prefetch"), (13, "prefetch"),
        ):  # fmt: skip
            await asyncio.sleep(at - asyncio.get_running_loop().time())
            await asked.stream(Request("m", prompt, purpose=Purpose(purpose))).aclose()
        await asked.aclose()
        return asked.shares({3: 5.0, 7: 9.0, 8: 11.0})

    assert run_virtual(ask()) == {3: 3 / 8, 7: 3 / 8, 8: 2 / 8}


def test_fallback_text_counts_as_waiting_to_the_deadline(
    logs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    refuses = ScriptedModel(Script(error=ModelBadRequest("no")))  # so it is told, and at once
    monkeypatch.setattr(trial, "stand_in", lambda settings: refuses)
    played = trial.trial((logs[0], Settings(deadline=4.0).model_dump(mode="json")))
    assert [each.latency for each in played.told.values()] == [4.0, 4.0, 4.0]
    assert trial.figures(list(played.told.values()))["hit_rate"] == 0


# --- the command


def test_a_search_over_logs_is_the_same_whatever_the_number_of_processes(
    logs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--budget", "24", "--seed", "2", "--holdout", "0.5")
    one = tuned(capsys, *logs, *options)
    two = tuned(capsys, *logs, *options, "--jobs", "2")
    assert one == two
    assert one["runs"] <= one["budget"] == 24
    assert one["cut_short"] and one["tried"] == 10
    sides = one["training"], one["held_back"]
    assert sorted(sides[0]["logs"] + sides[1]["logs"]) == sorted(logs)
    assert [len(side["logs"]) for side in sides] == [2, 2]
    for side in sides:
        assert side["outcomes"] == 6
        assert set(side["default"]) == set(side["best"]) == {"objective", *NAMES}
        change = side["best"]["objective"] - side["default"]["objective"]
        assert side["difference"] == pytest.approx(change, abs=2e-6)
    assert sides[0]["difference"] <= 0
    assert one["minimize"] == "latency + 50 * usd"


def test_what_is_found_fits_what_is_asked_for(
    logs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cheap = tuned(capsys, *logs, "--minimize", "usd", "--budget", "60")
    assert cheap["changed"] == {"intensity": "off"}
    assert cheap["held_back"]["best"]["wasted"] == cheap["held_back"]["best"]["hit_rate"] == 0
    assert cheap["held_back"]["interval"][1] < 0
    assert "better than the default settings" in cheap["verdict"]
    soon = tuned(capsys, *logs, "--minimize", "latency", "--budget", "60")
    assert soon["settings"]["intensity"] != "off"
    assert soon["training"]["best"]["latency"] <= soon["training"]["default"]["latency"]


@pytest.mark.parametrize("text", ["latency / 0", "usd ** -9 ** 9", "(-1 - latency) ** .5"])
def test_an_expression_without_a_value_is_refused_and_not_searched(
    logs: list[str], capsys: pytest.CaptureFixture[str], text: str
) -> None:
    code, told = refused(capsys, *logs, "--minimize", text, "--budget", "400")
    assert code == 2 and f"--minimize: {text!r} has no value at any intensity" in told


def test_an_expression_that_has_a_value_at_some_intensity_is_searched(
    logs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = tuned(capsys, *logs, "--minimize", "latency / hit_rate", "--budget", "20")
    assert found["training"]["best"]["objective"] is not None


def test_what_is_found_is_judged_by_nights(
    logs: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def spied(groups: Any, *rest: Any) -> Any:
        sizes.append([len(group) for group in groups])
        return bootstrap(groups, *rest)

    monkeypatch.setattr(tuning, "bootstrap", spied)
    found = tuned(capsys, *logs, "--budget", "20", "--holdout", "0.5")
    assert sizes == [[3, 3], [3, 3]]
    assert found["held_back"]["drawn_from"] == "logs and their outcomes"


def test_what_is_saved_is_what_a_game_reads(
    logs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "campaign.toml"
    options = ("--minimize", "usd * 2", "--budget", "20", "--profile", "local-8b")
    for _ in range(2):  # the second takes the place of the first
        found = tuned(capsys, *logs, *options, "--model", "claude-opus-5-5", "-o", str(path))
        expected = {
            **found["settings"],
            "narrator_profile": "local-8b",
            "main_model": "claude-opus-5-5",
        }
        assert foretell.Game(path).settings == Settings.load(expected)
    assert "within noise" in path.read_text() or "better" in path.read_text()


def test_every_setting_survives_the_file() -> None:
    found: dict[str, Any] = {
        "minimize": 'usd\n"#', "runs": 3, "verdict": "So it is.", "held_back": None,
        "training": {"logs": ["a"], "default": {"objective": 1.0}, "best": {"objective": None}},
    }  # fmt: skip
    base = Settings(main_model='my "own"\n\u96ea\x7f')
    for name, grid in SPACE.items():
        for value in grid:
            changes = {"quiet": 0.0, "max_wait": 9.0, name: value}
            chosen = base.model_copy(update=changes)
            found["settings"] = chosen.model_dump(mode="json", include=set(SPACE))
            text = tune.to_toml(found, base)
            assert Settings.load(tomllib.loads(text)) == chosen


def test_one_log_is_not_split_and_the_report_says_so(
    logs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = tuned(capsys, logs[2], "--budget", "12", "--minimize", "usd")
    assert found["held_back"] is None
    assert found["training"]["drawn_from"] == "the outcomes of one log"
    assert "On the very logs they were chosen by" in found["verdict"]
    assert main(["tune", logs[2], "--budget", "12", "--minimize", "usd"]) == 0
    shown = capsys.readouterr().out
    assert "no log was held back" in shown and "held back\n" not in shown
    assert "intensity = off" in shown


def test_the_table_shows_training_beside_held_back(
    logs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "campaign.toml"
    assert main(["tune", *logs, "--budget", "20", "-o", str(path)]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    for words in ("training", "held back", "default", "found", "the expression", "budget ended"):
        assert words in told.out, words
    assert f"saved in {path}" in told.out.replace("\n", "")


SIDE = {"outcomes": 9, "interval": [-2.0, -1.0], "logs": ["a", "b", "c"]}


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ({"changed": {}}, "The default settings are the best"),
        ({"held_back": SIDE}, "held back, over 9 outcomes: better than the default"),
        ({"held_back": SIDE | {"interval": [-1.0, 0.5]}}, "is within noise (95 % interval -1 to"),
        ({"held_back": SIDE | {"interval": [0.1, 0.5]}}, "worse than the default settings"),
        ({"held_back": SIDE | {"interval": None}}, "too little to say"),
        ({"held_back": SIDE}, "drawn from 3 logs and their outcomes: so few that it may be too"),
        ({"held_back": SIDE | {"logs": [*"abcdef"]}}, "drawn from 6 logs and their outcomes)."),
        ({"held_back": SIDE | {"logs": ["a"]}}, "drawn from the outcomes of one log, so it"),
        ({"held_back": None}, "On the very logs they were chosen by, which flatters them"),
    ],
)
def test_the_verdict_is_honest(found: Mapping[str, Any], says: str) -> None:
    changed = {"changed": {"quiet": 0.1}, "training": SIDE, "held_back": SIDE}
    assert says in tune._verdict({**changed, **found})


def test_a_log_without_outcomes_is_left_out(
    logs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = str(LogBuilder().state(STATE).wait(5).write(tmp_path / "empty.jsonl"))
    assert main(["tune", logs[0], empty, logs[1], "--budget", "8", "--json"]) == 0
    told = capsys.readouterr()
    assert told.err == f"foretell: warning: {empty}: has no outcomes; left out\n"
    found = orjson.loads(told.out)
    assert len(found["training"]["logs"] + found["held_back"]["logs"]) == 2
    assert main(["tune", empty]) == 1
    assert "error: no log has outcomes, so there is nothing to tune" in capsys.readouterr().err


def test_bad_input_is_one_line(
    logs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / "pyproject.toml"
    precious.write_text("[project]\n")
    twin = str(night(3).write(tmp_path / "twin.jsonl.gz"))
    for arguments, code, says in (
        ([str(tmp_path / "gone.jsonl")], 1, "gone.jsonl"),
        ([logs[0], logs[0]], 1, "is the same night as"),
        ([logs[1], twin], 1, "twin.jsonl.gz: is the same night as"),
        ([*logs, "--budget", "7"], 2, "too small for these logs: at least 8"),
        ([*logs, "--budget", "0"], 2, "'0' is not a number from 1"),
        ([*logs, "--jobs", "-1"], 2, "'-1' is not a number from 1"),
        ([*logs, "--holdout", "1"], 2, "'1' is not a share"),
        ([*logs, "--holdout", "nan"], 2, "'nan' is not a share"),
        ([*logs, "-o", str(precious)], 1, "holds something that is not a configuration"),
        ([*logs, "-o", str(tmp_path)], 1, "is a directory"),
        ([*logs, "-o", str(tmp_path / "a/b.toml")], 1, "its folder does not exist"),
        ([], 2, "LOG"),
    ):
        found, told = refused(capsys, *arguments)
        assert found == code and says in told, told
    assert precious.read_text() == "[project]\n"


def test_a_process_that_dies_is_told() -> None:
    with pytest.raises(ForetellError, match="a process of --jobs died"), trial.players(2):
        raise BrokenProcessPool


def test_a_stale_text_in_any_trial_is_a_failure(
    logs: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    play = replay.play

    async def stale(*args: Any, **kwargs: Any) -> replay.Run:
        run = await play(*args, **kwargs)
        run.report["stale"] = 1
        return run

    monkeypatch.setattr(trial, "play", stale)
    assert main(["tune", logs[0], "--budget", "3"]) == 1
