"""The rolling summary of what was told: when it is written, of what, and who may read it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell.operators.summary import Summaries, Summary, shortened
from foretell.replay.verify import verify
from foretell.streams.log import read, validate
from foretell.streams.models import ModelUnavailable, Purpose, Request
from foretell.streams.narrator.gist import gist
from foretell.testing import (
    Script,
    ScriptedModel,
    ScriptedStream,
    instant,
    run_virtual,
    stamped_prompts,
)
from foretell.testing.stamps import asked

STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 90, "max_hp": 90},
    },
}
LINE = "And so the blow fell, number {}, and nobody who saw it would forget it."
SETTINGS = {"intensity": "off", "memory_tokens": 40, "summary_tokens": 30}
Answer = Callable[[Request, int], Script]


def answer(request: Request, number: int) -> Script:
    """Each telling is 70 characters, each summary says how many there were before it."""
    if request.purpose is Purpose.SUMMARY:
        return Script(f"Sum of {len(story(request))} after <{record(request)}>", ttft=1.0)
    return Script({"text": LINE.format(number)}, ttft=0.5, delay=0.01)


def story(request: Request) -> list[str]:
    found: list[str] = orjson.loads(request.messages[-1].text.partition("STORY ")[2])
    return found


def record(request: Request) -> str:
    first, _, _ = request.messages[-1].text.rpartition("STORY ")
    return str(orjson.loads(first.removeprefix("RECORD "))) if first else ""


class Table:
    """A session whose outcomes are told one after the other."""

    def __init__(self, session: foretell.Session[Any], model: ScriptedModel) -> None:
        self.session = session
        self.model = model

    @property
    def summaries(self) -> list[ScriptedStream]:
        return self.model.asked("summary")

    async def tell(self, count: int, pause: float = 0.0, **given: Any) -> list[Any]:
        told = []
        for _ in range(count):
            telling = self.session.outcome("mira", "sword", "miss", target="goblin", **given)
            await telling
            told.append(telling)
            await asyncio.sleep(pause)
        return told

    async def memory(self, **given: Any) -> str:
        """What the next prompt of a player's telling remembers."""
        await self.tell(1, **given)
        return str(asked(self.model.asked("foreground")[-1].request)["memory"])


@asynccontextmanager
async def table(answer: Answer = answer, **given: Any) -> AsyncIterator[Table]:
    model = ScriptedModel(answer)
    settings = SETTINGS | given
    async with foretell.Game(settings, model=model, prompts=stamped_prompts) as game:
        session = await game.session("table")
        if not session.transcript.tellings():
            session.update(STATE)
        yield Table(session, model)
    assert not model.open


async def test_it_is_written_when_as_much_was_told_as_is_remembered() -> None:  # 8-5
    async with table() as t:
        await t.tell(2, pause=30)
        assert t.summaries == []
        await t.tell(1)
        await asyncio.sleep(1.5)
        [first] = t.summaries
        assert first.request.model == foretell.Settings().small_model
        assert story(first.request) == [LINE.format(n) for n in (1, 2, 3)]
        memory = await t.memory()
        assert memory.startswith("Earlier: Sum of 3 after <>\n") is False  # it is being written
        await asyncio.sleep(30)
        assert (await t.memory()).startswith("Earlier: Sum of 3 after <>\n")


async def test_the_next_builds_on_the_one_before_and_on_what_was_told_since() -> None:
    async with table() as t:
        await t.tell(6, pause=30)
        assert [len(story(each.request)) for each in t.summaries] == [3, 3]
        assert record(t.summaries[1].request) == "Sum of 3 after <>"
        assert (await t.memory()).startswith("Earlier: Sum of 3 after <Sum of 3 after <>>\n")


async def test_without_a_length_there_is_none() -> None:
    async with table(summary_tokens=0) as t:
        await t.tell(9, pause=30)
        assert t.summaries == [] and "Earlier" not in await t.memory()


async def test_while_something_is_told_it_waits() -> None:
    async with table() as t:
        await t.tell(3)
        for _ in range(5):
            await asyncio.sleep(0.9)
            await t.tell(1)
            assert t.summaries == []
        await asyncio.sleep(2)
        assert len(t.summaries) == 1


async def test_it_makes_room_for_a_player() -> None:  # G5
    async with table(max_speculations=1) as t:
        await t.tell(3)
        await asyncio.sleep(1.5)
        await t.tell(1)
        [first] = t.summaries
        assert first.closed_at is not None and not first.finished
        await asyncio.sleep(30)
        assert len(t.summaries) == 2 and t.summaries[1].finished


async def test_what_is_undone_leaves_no_trace_and_comes_back_with_what_it_tells() -> None:  # G7
    async with table() as t:
        await t.tell(3, pause=30)
        then = t.session.world.revision
        await t.tell(3, pause=30)
        last = t.session.world.revision
        t.session.rewind(then)
        assert (await t.memory()).startswith("Earlier: Sum of 3 after <>\n")
        t.session.rewind(1)
        assert "Earlier" not in await t.memory()
        t.session.rewind(last)
        assert (await t.memory()).startswith("Earlier: Sum of 3 after <Sum of 3 after <>>\n")


async def test_undone_while_it_is_written_it_is_closed_and_never_read() -> None:  # G7, G4
    async with table() as t:
        await t.tell(3)
        await asyncio.sleep(1.5)
        t.session.rewind(1)
        await instant()
        [first] = t.summaries
        assert first.closed_at == asyncio.get_running_loop().time()
        await asyncio.sleep(30)
        assert "Earlier" not in await t.memory() and len(t.summaries) == 1


@pytest.mark.parametrize("steps", range(0, 40, 13))
async def test_undone_in_the_very_moment_it_is_whole_it_is_not_kept(steps: int) -> None:  # G7
    def at_once(request: Request, number: int) -> Script:
        return answer(request, number) if request.purpose is not Purpose.SUMMARY else Script("Sum.")

    async with table(at_once) as t:
        await t.tell(3)
        await asyncio.sleep(1.0)
        await instant(steps)
        t.session.rewind(1)
        await asyncio.sleep(30)
        assert "Earlier" not in await t.memory()


async def test_it_is_of_what_everybody_has_seen() -> None:  # G7
    async with table() as t:
        await t.tell(2, pause=30)
        await t.tell(3, pause=30, to="gm")
        assert t.summaries == []
        await t.tell(1, pause=30)
        assert story(t.summaries[0].request) == [LINE.format(n) for n in (1, 2, 6)]
        assert (await t.memory(to="gm")).startswith("Earlier: Sum of 3")


async def test_what_was_cut_short_is_summed_up_as_far_as_it_was_heard() -> None:  # G7
    async with table() as t:
        [first, *_] = await t.tell(2, pause=30)
        first.delivered(7)
        await t.tell(3, pause=30)
        assert story(t.summaries[0].request)[0] == "And so "


async def test_less_was_heard_than_was_summed_up_so_it_is_written_anew() -> None:  # G7
    async with table() as t:
        told = await t.tell(6, pause=30)
        told[4].delivered(7)
        await asyncio.sleep(0)
        assert (await t.memory()).startswith("Earlier: Sum of 3 after <>\n")
        await asyncio.sleep(30)
        assert len(t.summaries) == 3
        assert story(t.summaries[2].request)[:2] == [LINE.format(5), "And so "]
        told[4].delivered(60)  # more than before is no reason
        await asyncio.sleep(0)
        assert (await t.memory()).startswith("Earlier: Sum of 4 after <Sum of 3 after <>>\n")
        told[0].delivered(1)
        await asyncio.sleep(0)
        assert "Earlier" not in await t.memory()


async def test_less_was_heard_while_it_was_written_so_it_is_closed() -> None:  # G7
    async with table() as t:
        told = await t.tell(3)
        await asyncio.sleep(1.5)
        told[1].delivered(7)
        await asyncio.sleep(30)
        assert t.summaries[0].closed_at is not None and not t.summaries[0].finished
        assert "Earlier" not in await t.memory()


def test_less_was_heard_and_a_session_that_goes_on_knows_it(tmp_path: Path) -> None:  # G7
    memories: list[list[str]] = []

    async def night(upto: int | None) -> None:
        async with table(log_dir=str(tmp_path)) as t:
            memories.append((await t.memory()).splitlines())
            told = await t.tell(3, pause=30)
            if upto is not None:
                told[0].delivered(upto)

    run_virtual(night(None))
    run_virtual(night(7))
    run_virtual(night(None))
    assert memories[1][0] == memories[2][0] == "Earlier: Sum of 3 after <>"


async def test_a_retelling_that_is_undone_takes_with_it_what_sums_it_up() -> None:
    async with table() as t:
        told = await t.tell(3)
        before = t.session.world.revision
        await t.session.retell(told[2])
        await asyncio.sleep(30)
        assert story(t.summaries[0].request)[2] == LINE.format(4)
        assert (await t.memory()).startswith("Earlier: Sum of 3")
        t.session.rewind(before)
        assert "Earlier" not in await t.memory()


async def test_a_retelling_remembers_what_was_summed_up_before_its_first() -> None:
    async with table() as t:
        told = await t.tell(6, pause=30)
        await t.session.retell(told[1])
        assert "Earlier" not in asked(t.model.streams[-1].request)["memory"]
        await t.session.retell(told[4])
        memory = asked(t.model.streams[-1].request)["memory"]
        assert memory.startswith("Earlier: Sum of 3 after <>\n")


async def test_one_that_fails_leaves_nothing_and_the_next_telling_tries_again() -> None:
    def failing(request: Request, number: int) -> Script:
        bad = request.purpose is Purpose.SUMMARY and number < 6
        return Script("Sum", error=ModelUnavailable("no")) if bad else answer(request, number)

    async with table(failing) as t:
        await t.tell(3, pause=30)
        assert len(t.summaries) == 1 and "Earlier" not in await t.memory()
        await asyncio.sleep(30)
        assert (await t.memory()).startswith("Earlier: Sum of 4")
        assert t.session.report()["faults"] == 0


async def test_one_that_stalls_is_closed_and_the_next_telling_tries_again() -> None:  # G3
    def stalls(request: Request, number: int) -> Script:
        script = answer(request, number)
        late = request.purpose is Purpose.SUMMARY and len(story(request)) == 3
        return replace(script, hangs=True) if late else script

    async with table(stalls) as t:
        await t.tell(3)
        await asyncio.sleep(70)
        assert [each.gone_at is not None for each in t.summaries] == [True]
        await t.tell(1)
        await asyncio.sleep(30)
        assert [len(story(each.request)) for each in t.summaries] == [3, 4]
        assert (await t.memory()).startswith("Earlier: Sum of 4 after <>")


async def test_an_empty_one_is_none() -> None:
    def empty(request: Request, number: int) -> Script:
        return Script(" \n ") if request.purpose is Purpose.SUMMARY else answer(request, number)

    async with table(empty) as t:
        await t.tell(3, pause=30)
        assert t.summaries and "Earlier" not in await t.memory()


async def test_a_budget_that_is_used_up_has_none_for_it() -> None:
    async with table(budget={"session_tokens": 10, "foreground": False}) as t:
        await t.tell(9, pause=30)
        assert t.summaries == []


async def test_it_is_billed_by_itself_and_to_nothing_that_was_prepared() -> None:
    async with table() as t:
        await t.tell(3, pause=30)
        report = t.session.report()
        assert report["tokens"]["summary"] > 0 == report["tokens"]["prefetch"]
        assert [row["purpose"] for row in report["ledger"]] == ["foreground", "summary"]


async def test_it_can_be_turned_on_and_off_while_the_game_runs() -> None:
    async with table(summary_tokens=0) as t:
        await t.tell(3, pause=30)
        t.session.apply({"summary_tokens": 30})
        await t.tell(1, pause=30)
        assert (await t.memory()).startswith("Earlier: Sum of 4")
        t.session.apply({"summary_tokens": 0})
        await asyncio.sleep(1)
        assert "Earlier" not in await t.memory()


def test_it_comes_again_from_the_log_and_goes_on_in_a_session_that_does(tmp_path: Path) -> None:
    memories: list[str] = []

    async def night(many: int) -> None:
        async with table(log_dir=str(tmp_path)) as t:
            memories.append(await t.memory())
            await t.tell(many, pause=30)
            if many == 3:
                t.session.rewind(t.session.world.revision - 1)
                await t.tell(2, pause=30)

    run_virtual(night(7))
    run_virtual(night(3))
    run_virtual(night(1))
    assert memories[0] == ""
    assert memories[1].startswith("Earlier: Sum of 3 after <Sum of 3 after <>>\n")
    assert memories[2].startswith("Earlier: Sum of ")
    log = tmp_path / "table.jsonl"
    assert validate(log).errors == []
    assert [each.kind for each in read(log)].count("~summary") >= 3
    again = verify(log, lambda given: foretell.Game(given, prompts=stamped_prompts), heavy=True)
    assert again.difference is None


def test_one_that_was_altered_in_the_log_is_found(tmp_path: Path) -> None:
    async def night() -> None:
        async with table(log_dir=str(tmp_path)) as t:
            await t.tell(4, pause=30)

    run_virtual(night())
    log = tmp_path / "table.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    [at] = [n for n, line in enumerate(lines) if b'"~summary"' in line]
    del lines[at]
    log.write_bytes(b"".join(lines))
    again = verify(log, lambda given: foretell.Game(given, prompts=stamped_prompts))
    assert again.difference is not None


def test_the_one_that_counts_is_the_last_of_which_nothing_is_undone() -> None:
    known = Summaries()
    for n in (3, 6, 9):
        known.add(Summary(f"to {n}", n, n + 1))
    undone: set[int] = set()
    known.rewound(lambda number: number not in undone)
    assert known.standing().text == "to 9"
    assert known.standing(before=9).text == "to 6" and known.standing(before=3).text == ""
    undone |= {10}
    assert known.standing().text == "to 6"
    undone |= {4, 7}
    assert known.standing().text == ""
    undone.clear()
    known.unheard(6)
    assert known.standing().text == "to 3"


@pytest.mark.parametrize(
    ("text", "most", "kept"),
    [
        ("Mira fell.  Then\n it rained. ", 100, "Mira fell. Then it rained."),
        ("Mira fell. Then it rained.", 20, "Mira fell."),
        ("Mira fell. Then it rained.", 10, "Mira fell."),
        ("Mira fell into the well", 12, "Mira fell"),
        ("Mirafellintothewell", 5, ""),
    ],
)
def test_a_long_one_ends_after_a_sentence(text: str, most: int, kept: str) -> None:
    assert shortened(text, most) == kept


def test_the_narrator_sums_up_by_a_sentence_of_each() -> None:
    story = orjson.dumps(["Mira strikes. The goblin falls.", "It rains."]).decode()
    assert gist(f"STORY {story}") == "The goblin falls. It rains."
    assert gist(f'RECORD "A well."\nSTORY {story}') == "A well. The goblin falls. It rains."
    assert gist(f'RECORD "A well."\nSTORY {story}', room=12) == "It rains."
    for other in ("Tell this.", "STORY of old", "STORY [1, 2]", "STORY [\n"):
        assert gist(other) is None
