"""Pairs of tellings, prepared and fresh: what is shown, voted, and concluded."""

from __future__ import annotations

import io
import random
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from foretell import Ended, Settings, blind, replay
from foretell.cli import main
from foretell.operators.predict import Intensity
from foretell.streams import events as ev
from foretell.testing import LogBuilder, ScriptedModel
from foretell.whatif import pairs as telling
from foretell.whatif.chance import wilson
from foretell.whatif.pairs import Pair, draw, pairs

STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 99, "max_hp": 99},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 99, "max_hp": 99},
    },
}


def night(swings: int = 8) -> LogBuilder:
    """Many swings that were foreseen, and one deed that nobody foresaw."""
    log = LogBuilder("night").state(STATE).wait(1).turn("mira")
    for swing in range(swings):
        log.action("mira", "longsword", target="goblin").wait(15)
        log = log.outcome("hit", damage=3) if swing % 2 else log.outcome("miss")
        log.wait(9)
    return log.undeclared("goblin", "dance", "success").wait(30)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return night().write(tmp_path / "night.jsonl")


def told(path: Path, intensity: Intensity) -> dict[tuple[int, ...], Ended]:
    ends: dict[tuple[int, ...], Ended] = {}

    def watch(event: Any) -> None:
        if isinstance(event, Ended):
            ends[event.outcomes] = event

    replay.report(path, Settings(intensity=intensity), watch=watch)
    return ends


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    try:
        code = main(["blind", *arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("foretell: error: ") and said.err.count("\n") == 1, said.err
    return code, said.err


# --- the pairs


def test_a_pair_is_one_outcome_told_both_ways(log: Path) -> None:
    found = pairs(str(log), Settings())
    prepared, fresh = told(log, Intensity.CONSERVATIVE), told(log, Intensity.OFF)
    assert len(found) == 8  # the dance was not prepared
    for each in found:
        assert each.prepared == prepared[each.outcomes].text != fresh[each.outcomes].text
        assert each.fresh == fresh[each.outcomes].text
        assert set(prepared[each.outcomes].served) <= {"hit", "in_flight"}
    assert found[0].happened == "mira: longsword at goblin: miss"
    assert found[1].happened == "mira: longsword at goblin: hit, damage 3"


def test_what_was_told_again_makes_no_pair(tmp_path: Path) -> None:
    night = LogBuilder().state(STATE).turn("mira").wait(2)
    night.action("mira", "longsword", target="goblin").wait(8).outcome("hit", damage=2)
    for _ in range(8):  # some of them are told from what was prepared
        night.wait(12).add(lambda t: ev.Retell(t, "action-1"))
    log = night.wait(30).write(tmp_path / "again.jsonl")
    again = {
        outcomes: end for outcomes, end in told(log, Intensity.AGGRESSIVE).items() if end.retells
    }
    assert any(set(end.served) <= {"hit", "in_flight"} for end in again.values())
    assert [each.outcomes for each in pairs(str(log), Settings(intensity="aggressive"))] == [(4,)]


def test_what_is_drawn_is_in_the_order_of_play_and_either_may_be_first() -> None:
    every = [Pair((n,), "", f"prepared {n}", f"fresh {n}") for n in range(40)]
    seen = [draw(every, 30, random.Random(seed)) for seed in (1, 1, 2)]
    assert seen[0] == seen[1] != seen[2]
    for drawn in seen:
        numbers = [each.outcomes[0] for each in drawn]
        assert numbers == sorted(set(numbers)) and len(numbers) == 30
        firsts = [each.first for each in drawn]
        assert 5 < firsts.count("fresh") < 25
        for each in drawn:
            assert each.shown[0].startswith(each.first)
            assert set(each.shown) == {each.prepared, each.fresh}
            place = "1" if each.first == "prepared" else "2"
            other = "2" if place == "1" else "1"
            picked = [each.picked(vote) for vote in (place, other, "=")]
            assert picked == ["prepared", "fresh", "tie"]
    assert draw(every, 99, random.Random(0)) != every
    assert len(draw(every, 99, random.Random(0))) == 40


def test_what_a_model_writes_commands_no_terminal(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def rude(_: Settings) -> ScriptedModel:
        return ScriptedModel(lambda request, n: {"text": f"\x1b[2JText {request.purpose} {n}."})

    monkeypatch.setattr(telling, "stand_in", rude)
    assert main(["blind", str(log), "--pairs", "2"]) == 0
    shown = capsys.readouterr().out
    assert "[2JText" in shown and "\x1b" not in shown
    for each in pairs(str(log), Settings()):
        assert each.prepared.startswith("[2JText prefetch")
        assert each.fresh.startswith("[2JText foreground")


# --- without votes


def test_a_pipe_gets_the_pairs_and_not_their_solution(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["blind", str(log), "--pairs", "5", "--seed", "3", "--json"]) == 0
    found = orjson.loads(capsys.readouterr().out)
    assert len(found["pairs"]) == 5
    assert found["asked"] == "prepared" and found["seed"] == 3
    for each in found["pairs"]:
        assert set(each) == {"outcomes", "happened", "texts"}
    assert main(["blind", str(log), "--pairs", "5", "--seed", "3"]) == 0
    shown = capsys.readouterr().out
    for number, each in enumerate(found["pairs"], 1):
        assert f"{number} of 5  {each['happened']}\n" in shown
        assert f"[1] {each['texts'][0]}\n\n[2] {each['texts'][1]}\n" in shown
    assert shown.endswith("Vote 1, 2 or = for each, in a file, and give it as --votes FILE.\n")
    drawn = draw(pairs(str(log), Settings(seed=3)), 5, random.Random(3))
    assert [tuple(each["texts"]) for each in found["pairs"]] == [each.shown for each in drawn]


# --- votes from a file


def voted(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], votes: str, *options: str
) -> Any:
    path = tmp_path / "votes.txt"
    path.write_text(votes, encoding="utf-8")
    assert main(["blind", str(log), "--pairs", "8", "--json", "--votes", str(path), *options]) == 0
    said = capsys.readouterr()
    assert said.err == "" or options
    return orjson.loads(said.out)


def solution(log: Path, which: str) -> list[str]:
    drawn = draw(pairs(str(log), Settings()), 8, random.Random(0))
    return ["1" if each.first == which else "2" for each in drawn]


def test_whoever_always_knows_can_tell(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = voted(log, tmp_path, capsys, "\n".join(solution(log, "prepared")))
    assert found["votes"] == {"prepared": 8, "fresh": 0, "tie": 0}
    assert found["share"] == 1.0 and found["open"] == 0
    assert found["interval"] == [round(each, 4) for each in wilson(8, 8)]
    assert found["verdict"] == (
        "They can be told apart: the prepared text is known for what it is."
    )
    assert {each["picked"] for each in found["pairs"]} == {"prepared"}
    found = voted(log, tmp_path, capsys, " ".join(solution(log, "fresh")), "--ask", "better")
    assert found["verdict"] == "They can be told apart: the fresh text is preferred."
    assert found["asked"] == "better"


def test_ties_and_what_was_not_asked_are_no_votes_for_either(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = solution(log, "prepared")
    votes = f"{key[0]} {key[1]}  # sure\n= =\n{'1' if key[4] == '2' else '2'} q 1 1 1"
    found = voted(log, tmp_path, capsys, votes)
    assert found["votes"] == {"prepared": 2, "fresh": 1, "tie": 2}
    assert found["open"] == 3
    assert found["share"] == 0.6667
    picks = [each["picked"] for each in found["pairs"]]
    assert picks == ["prepared", "prepared", "tie", "tie", "fresh", None, None, None]
    assert found["verdict"] == (
        "Nobody has been shown to tell them apart (so few votes cannot show it)."
    )


@pytest.mark.parametrize("votes", ["", "= = =", "q", "# none\n"])
def test_without_a_vote_for_either_nothing_is_claimed(
    votes: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = voted(log, tmp_path, capsys, votes)
    assert found["share"] is found["interval"] is None
    assert found["verdict"].startswith("No vote for either text")


def test_votes_come_through_a_pipe_too(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("1 2 1 2 1 2 1 2"))
    assert main(["blind", str(log), "--pairs", "8", "--votes", "-"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("picked     prepared ") and "95 % interval" in shown
    assert "Nobody has been shown to tell them apart (that takes 7 of 8)." in shown


@pytest.mark.parametrize(
    ("prepared", "fresh", "ask", "says"),
    [
        (60, 40, "prepared", "the prepared text is known for what it is"),
        (59, 41, "prepared", "Nobody has been shown to tell them apart (that takes 60 of 100)"),
        (40, 60, "prepared", "the fresh text is taken for the prepared one"),
        (60, 40, "better", "the prepared text is preferred"),
        (3, 0, "better", "(so few votes cannot show it)"),
    ],
)
def test_the_verdict_is_the_intervals(prepared: int, fresh: int, ask: str, says: str) -> None:
    drawn = [Pair((n,), "", "a", "b") for n in range(prepared + fresh)]
    found = blind.report(drawn, ["1"] * prepared + ["2"] * fresh, ask)
    assert says in found["verdict"]


# --- votes from the keyboard


class Keyboard(io.StringIO):
    """A terminal's input; a line that says so is Ctrl-C."""

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        line = super().readline()
        if line == "^C\n":
            raise KeyboardInterrupt
        return line


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Any:
    def typed(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", Keyboard(text))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    return typed


def test_votes_are_asked_for_one_by_one(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], terminal: Any
) -> None:
    key, saved = solution(log, "prepared"), tmp_path / "result.json"
    terminal("\n".join([key[0], "what?", key[1], " = ", "Q"]) + "\n")
    assert main(["blind", str(log), "--pairs", "8", "-o", str(saved)]) == 0
    said = capsys.readouterr()
    assert "the narrator's, a grammar: no vote" in said.out
    assert said.out.count("Which one was prepared? 1, 2, = (no telling), q (quit): ") == 5
    assert [f"{n} of 8" in said.out for n in range(1, 6)] == [True] * 4 + [False]
    assert "picked     prepared 2, fresh 0, no telling 1, not asked 5" in said.out
    found = orjson.loads(saved.read_bytes())
    assert found["votes"] == {"prepared": 2, "fresh": 0, "tie": 1}
    assert said.err == f"saved in {saved}\n"


@pytest.mark.parametrize(("end", "code"), [("^C\n", 130), ("", 0)])
def test_what_was_voted_is_kept_when_it_is_interrupted(
    end: str,
    code: int,
    log: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    terminal: Any,
) -> None:
    saved = tmp_path / "result.json"
    terminal(f"1\n2\n{end}")
    assert main(["blind", str(log), "--pairs", "8", "-o", str(saved)]) == code
    assert "not asked 6" in capsys.readouterr().out
    found = orjson.loads(saved.read_bytes())
    assert sum(found["votes"].values()) == 2 and found["open"] == 6


def test_each_vote_is_on_the_disk_before_the_next_is_asked(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: Any
) -> None:
    saved, seen = tmp_path / "result.json", []
    terminal("")

    def readline() -> str:
        open_pairs = orjson.loads(saved.read_bytes())["open"] if saved.exists() else 8
        seen.append(open_pairs)
        return "=\n"

    monkeypatch.setattr(sys.stdin, "readline", readline)
    assert main(["blind", str(log), "--pairs", "8", "-o", str(saved)]) == 0
    assert seen == [8, 7, 6, 5, 4, 3, 2, 1]
    assert [path.name for path in tmp_path.iterdir() if "tmp" in path.name] == []


# --- what cannot be


def test_bad_input_is_one_line(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = LogBuilder().state(STATE).wait(5).write(tmp_path / "empty.jsonl")
    dance = LogBuilder().state(STATE).undeclared("mira", "dance", "success").wait(9)
    odd = tmp_path / "odd.txt"
    odd.write_text("1\n2 3\n")
    many = tmp_path / "many.txt"
    many.write_text("1 " * 9)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for arguments, code, says in (
        ([str(tmp_path / "gone.jsonl")], 1, "gone.jsonl"),
        ([str(empty)], 1, "has no outcomes"),
        ([str(dance.write(tmp_path / "dance.jsonl"))], 1, "nothing was told from what had been"),
        ([str(log), "--votes", str(odd)], 1, "odd.txt: line 2: '3' is no vote: 1, 2, = or q"),
        ([str(log), "--votes", str(many), "--pairs", "8"], 1, "9 votes for 8 pairs"),
        ([str(log), "--votes", str(binary)], 1, "is not text"),
        ([str(log), "--votes", str(tmp_path)], 1, "cannot be read"),
        ([str(log), "--votes", str(tmp_path / "none")], 1, "cannot be read"),
        ([str(log), "-o", str(odd)], 1, "exists, and votes are not replaced"),
        ([str(log), "-o", str(tmp_path / "a/b")], 1, "its folder does not exist"),
        ([str(log), "--pairs", "0"], 2, "'0' is not a number"),
        ([str(log), "--intensity", "off"], 2, "'off'"),
        ([str(log), "--ask", "worse"], 2, "'worse'"),
    ):
        found, said = refused(capsys, *arguments)
        assert found == code and says in said, said
    assert odd.read_text() == "1\n2 3\n"


def test_fewer_pairs_than_asked_for_are_told(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["blind", str(log), "--pairs", "99"]) == 0
    said = capsys.readouterr()
    assert said.err == "foretell: warning: there are only 8 pairs\n"
    assert "8 of 8" in said.out


def test_the_recorded_combat_gives_a_dozen_pairs(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fireball.jsonl"
    assert main(["import", "fireball", str(data / "fireball/raw.jsonl"), "-o", str(path)]) == 0
    capsys.readouterr()
    assert main(["blind", str(path), "--json"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    found = orjson.loads(said.out)["pairs"]
    assert len(found) == 12
    assert all(len(set(each["texts"])) == 2 and all(each["texts"]) for each in found)
