"""The game's guard: no viewer has a text that it has not let through, whatever it does."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foretell
from foretell import Ended, Patched, Served, Status
from foretell.errors import ConfigError
from foretell.operators.sifting import words_of
from foretell.replay.verify import verify
from foretell.streams.models import ModelCut, Request
from foretell.streams.narrator.profiles import profile
from foretell.streams.narrator.server import running
from foretell.testing import Script, ScriptedModel, run_virtual

STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 12, "max_hp": 12},
    },
}
STORY = "Mira swings. The goblin bleeds. It rains."


def prose(text: str = STORY, **more: Any) -> Callable[[Request, int], Script]:
    """A model that says the same to the player and ahead of time."""
    return lambda request, number: Script(
        {"text": text, "lines": [], "cues": []}, **{"ttft": 0.5, "delay": 0.1, "chunk": 5} | more
    )


def by_purpose(ahead: str, now: str) -> Callable[[Request, int], Script]:
    return lambda request, number: prose(ahead if request.purpose == "prefetch" else now)(
        request, number
    )


class Asked:
    """A guard that refuses what has a word, and remembers all it was asked."""

    def __init__(self, word: str = "bleeds", seconds: float = 0.0) -> None:
        self.word = word
        self.seconds = seconds
        self.texts: list[str] = []

    async def __call__(self, text: str) -> str | None:
        self.texts.append(text)
        await asyncio.sleep(self.seconds)
        return "gore" if self.word in text else None


class Table:
    def __init__(self, session: foretell.Session[Any], model: ScriptedModel) -> None:
        self.session = session
        self.model = model
        self.events: list[Any] = []
        session.subscribe(self.events.append)

    @property
    def ends(self) -> list[Ended]:
        return [event for event in self.events if isinstance(event, Ended)]

    @property
    def shown(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, Patched))

    def declare(self) -> Any:
        return self.session.declare("mira", "longsword", target="goblin")


@asynccontextmanager
async def table(
    answer: Any = None, guard: Any = None, name: str = "table", **settings: Any
) -> AsyncIterator[Table]:
    model = ScriptedModel(answer or prose())
    async with foretell.Game(settings, model=model, guard=guard) as game:
        session = await game.session(name)
        session.update(STATE)
        session.begin_turn("mira")
        yield Table(session, model)
    assert not model.open


def now() -> float:
    return asyncio.get_running_loop().time()


# ── ahead of time ────────────────────────────────────────────────────────────────────────────────


async def test_a_variant_is_judged_before_it_is_needed_and_then_told_at_once() -> None:
    guard = Asked("curses", seconds=0.3)
    async with table(guard=guard) as t:
        action = t.declare()
        await asyncio.sleep(30)
        asked = [*guard.texts]
        begun = now()
        told = await action.outcome("miss")
        assert told.text == STORY and now() == begun  # nobody waited for a guard
        assert t.ends[0].served == (Served.HIT,)
    assert STORY in asked and guard.texts == asked
    assert t.session.report()["guard"] == {"cleared": len(asked), "refused": 0}


async def test_a_variant_that_is_refused_ahead_of_time_is_never_told() -> None:
    guard = Asked()
    async with table(by_purpose(STORY, "Mira misses."), guard) as t:
        action = t.declare()
        await asyncio.sleep(30)
        told = await action.outcome("miss")
    assert told.text == "Mira misses." and t.ends[0].served == (Served.MISS,)
    report = t.session.report()
    assert report["guard"]["refused"] >= 3  # hit, miss and critical
    refused = [row for row in report["ledger"] if row["fate"] == "refused"]
    assert refused and sum(row["streams"] for row in refused) == report["guard"]["refused"]


async def test_what_is_adopted_before_its_verdict_is_judged_sentence_by_sentence() -> None:
    guard = Asked()
    async with table(by_purpose("All is well. He bleeds.", "Mira misses."), guard) as t:
        action = t.declare()
        await asyncio.sleep(0.6)  # under way
        await action.outcome("miss").text().aclose()
        await asyncio.sleep(30)
    assert t.ends[0].status is Status.FAILED and t.ends[0].kind == "guarded"
    assert t.shown.startswith("All is well.") and "bleeds" not in t.shown


async def test_what_is_adopted_and_refused_unheard_is_told_anew() -> None:
    async with table(by_purpose("He bleeds. And so on.", "Mira misses."), Asked()) as t:
        action = t.declare()
        await asyncio.sleep(0.6)
        told = await action.outcome("miss")
    assert told.text == "Mira misses." and t.ends[0].served == (Served.MISS,)


async def test_a_guard_reads_slots_as_they_were_written() -> None:
    guard = Asked("nothing")
    async with table(prose("It costs {damage}."), guard) as t:
        action = t.declare()
        await asyncio.sleep(30)
        assert (await action.outcome("hit", damage=3)).text == "It costs 3."
        action = t.declare()
        await asyncio.sleep(0.6)  # under way
        assert (await action.outcome("hit", damage=3)).text == "It costs 3."
        assert t.ends[-1].served == (Served.IN_FLIGHT,)
    assert {*guard.texts} == {"It costs {damage}."}


# ── while a player waits ─────────────────────────────────────────────────────────────────────────


async def test_viewers_have_each_sentence_when_it_was_let_through() -> None:
    guard = Asked("curses", seconds=0.25)
    async with table(guard=guard, intensity="off") as t:
        told = await t.session.outcome("mira", "longsword", "miss", target="goblin")
        assert told.text == STORY
    said = [event.text for event in t.events if isinstance(event, Patched) and event.text]
    assert "".join(said) == STORY and said[0].strip() == "Mira swings."
    assert guard.texts == ["Mira swings.", "The goblin bleeds.", "It rains."]


async def test_a_refused_sentence_ends_the_telling_with_plain_true_words() -> None:
    async with table(guard=Asked(), intensity="off") as t:
        with pytest.raises(foretell.TellingError) as failed:
            await t.session.outcome("mira", "longsword", "miss", target="goblin")
    [end] = t.ends
    assert (end.status, end.kind) == (Status.FAILED, "guarded")
    assert "gore" in str(failed.value)
    assert end.text == t.shown and end.text.startswith("Mira swings.")
    assert end.text.endswith(end.fallback) and "longsword against Goblin: miss" in end.fallback
    assert "bleeds" not in end.text and "rains" not in end.text
    assert t.session.transcript.text() == end.text
    assert t.session.report()["errors"] == {"guarded": 1}


async def test_no_field_is_left_out() -> None:
    lines = [{"speaker": "Mira", "text": "Die, die! He bleeds!"}]
    whole = {"text": "Mira swings.", "lines": lines, "cues": ["drums"]}
    guard = Asked()
    async with table(Script(whole, chunk=3), guard, intensity="off") as t:
        t.session.outcome("mira", "longsword", "miss", target="goblin")
        await asyncio.sleep(30)
    assert t.ends[0].kind == "guarded" and "bleeds" not in f"{t.ends[0].value}"
    assert "bleeds" not in f"{[each.patches for each in t.events if isinstance(each, Patched)]}"
    assert words_of(orjson.dumps(whole).decode(), "text").split("\n") == [
        "Mira swings.", "Mira", "Die, die! He bleeds!", "drums",
    ]  # fmt: skip


TEXTS = st.text(st.sampled_from('ab .!?\n"{}\\é界'), max_size=40)


@given(TEXTS, st.integers(1, 50), st.booleans())
def test_what_is_let_through_is_all_there_is_however_it_comes(
    text: str, chunk: int, plain: bool
) -> None:
    """With a guard that lets everything through, the same comes out as without one."""
    answer = text if plain else {"text": text, "lines": [], "cues": [text]}

    async def play(guard: Any) -> Any:
        script = Script(answer, chunk=chunk, delay=0.01)
        async with table(script, guard, intensity="off") as t:
            t.session.outcome("mira", "longsword", "miss", target="goblin")
            await asyncio.sleep(60)
        return t.ends[0].text, t.ends[0].value, t.ends[0].status, t.shown

    assert run_virtual(play(lambda text: None)) == run_virtual(play(None))


# ── guards that do it badly ──────────────────────────────────────────────────────────────────────


async def hangs(text: str) -> None:
    await asyncio.get_running_loop().create_future()


async def raises(text: str) -> None:
    raise LookupError("no moderation today")


def gives_truth(text: str) -> Any:
    return False


def gives_no_reason(text: str) -> str:
    return " "


@pytest.mark.parametrize(
    ("guard", "why"),
    [
        (hangs, "no verdict in 0.5 s"),
        (raises, "the guard raised LookupError"),
        (gives_truth, "gave False"),
        (gives_no_reason, "gave ' '"),
    ],
)
def test_a_guard_that_says_nothing_of_use_lets_nothing_through(  # G2
    guard: Any, why: str, tmp_path: Path
) -> None:
    async def play() -> None:
        given = {"guard_limit": 0.5, "log_dir": str(tmp_path)}
        async with table(guard=guard, **given) as t:
            action = t.declare()
            await asyncio.sleep(10)
            begun = now()
            with pytest.raises(foretell.TellingError):
                await action.outcome("miss")
            [end] = t.ends
            assert end.kind == "guarded" and why in (end.error or "")
            assert end.text == end.fallback and now() - begun < 5

    run_virtual(play())
    assert verify(tmp_path / "table.jsonl", _anybody).difference is None


def _anybody(settings: foretell.Settings) -> Any:
    return foretell.Game(settings, model=ScriptedModel())


def test_an_exact_replay_needs_no_guard(tmp_path: Path) -> None:
    async def play() -> None:
        answer = by_purpose(STORY, "Mira misses. He bleeds. So be it.")
        async with table(answer, Asked(seconds=0.2), log_dir=str(tmp_path)) as t:
            for _ in range(3):
                action = t.declare()
                await asyncio.sleep(5)
                action.outcome("miss")
                await asyncio.sleep(10)

    run_virtual(play())
    log = tmp_path / "table.jsonl"
    walked = verify(log, _anybody)
    assert walked.difference is None and walked.closed
    lines = log.read_text().replace('"refused":"gore"', '"refused":null')
    (tmp_path / "other.jsonl").write_text(lines)
    assert verify(tmp_path / "other.jsonl", _anybody).difference is not None


async def test_a_session_that_goes_on_knows_what_was_refused(tmp_path: Path) -> None:
    answer = by_purpose(STORY, "Mira misses.")
    async with table(answer, Asked(), log_dir=str(tmp_path)) as t:
        t.declare()
        await asyncio.sleep(5)
        before = t.session.report()
    async with foretell.Game({"log_dir": str(tmp_path)}, model=ScriptedModel(), guard=Asked()) as g:
        after = (await g.session("table")).report()
    assert before["guard"] == after["guard"] and before["guard"]["refused"] > 0
    assert before["ledger"] == after["ledger"]


@pytest.mark.real_time
async def test_a_plain_guard_may_block_and_the_loop_goes_on() -> None:
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    goes_on, threads = threading.Event(), set[str]()

    def guard(text: str) -> None:
        threads.add(threading.current_thread().name)
        loop.call_soon_threadsafe(asked.set)
        goes_on.wait()

    async with table(prose(ttft=0.0, delay=0.0), guard, guard_limit=60.0, intensity="off") as t:
        telling = t.session.outcome("mira", "longsword", "miss", target="goblin")
        await asked.wait()
        assert telling.ended is None  # and the loop is here
        goes_on.set()
        assert (await telling).text == STORY
    assert threads == {"foretell guard"}


async def test_a_guard_can_be_named_in_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("house_rules")
    module.guard = lambda text: "gore" if "bleeds" in text else None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "house_rules", module)
    async with table(intensity="off", guard_module="house_rules:guard") as t:
        t.session.outcome("mira", "longsword", "miss", target="goblin")
        await asyncio.sleep(30)
    assert t.ends[0].kind == "guarded"
    for wrong in ("house_rules:none", "nowhere:guard", "house_rules"):
        with pytest.raises(ConfigError, match="guard_module"):
            foretell.Game({"guard_module": wrong})
    with pytest.raises(ConfigError, match="guard must be a function"):
        foretell.Game(guard="no function")  # type: ignore[arg-type]


@pytest.mark.real_time
async def test_a_guard_stands_between_the_narrator_and_the_players(tmp_path: Path) -> None:
    def guard(text: str) -> str | None:
        return "no goblins" if "Goblin" in text else None

    async with running(profile("instant")) as url:
        given = {"base_url": url, "log_dir": str(tmp_path), "guard_limit": 60.0}
        async with foretell.Game(given, api_key="none", guard=guard) as game:
            session = await game.session("table")
            session.update(STATE)
            session.begin_turn("mira")
            told = await session.outcome("mira", "listen", "success", type="use")
            assert told.text and "Goblin" not in told.text
            with pytest.raises(foretell.TellingError, match="no goblins") as failed:
                await session.outcome("mira", "longsword", "miss", target="goblin")
            assert failed.value.kind == "guarded"
            assert "longsword against Goblin: miss" in failed.value.fallback
    walked = await asyncio.to_thread(verify, tmp_path / "table.jsonl", _anybody)
    assert walked.difference is None


async def test_what_broke_off_and_is_judged_is_not_told_of_a_world_that_has_changed() -> None:
    def answer(request: Request, number: int) -> Script:
        if request.purpose == "prefetch":
            cut = ModelCut("cut")
            return Script({"text": "The goblin ducks. So."}, ttft=0.5, error=cut, chunks=4)
        return Script({"text": "The ogre ducks."})

    async with table(answer, Asked(seconds=1.0)) as t:
        action = t.declare()
        await asyncio.sleep(0.52)
        telling = action.outcome("miss")
        await asyncio.sleep(0.5)  # cut by now, and judged
        changed = {**STATE, "actors": {**STATE["actors"], "goblin": {"name": "Ogre", "hp": 12}}}
        t.session.update(changed)
        assert (await telling).text == "The ogre ducks."
