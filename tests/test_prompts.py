"""The default prompts: what is stable comes first, so that a server reads it once."""

from __future__ import annotations

from typing import Any

import foretell
from foretell.operators.classify import classify
from foretell.operators.prompts import Account, DefaultPrompts, Prompt
from foretell.sinks.transcript import Transcript
from foretell.streams import events as ev
from foretell.streams.narrator.engine import Engine, tokens
from foretell.streams.narrator.model import NarratorModel
from foretell.streams.narrator.profiles import profile
from foretell.streams.world import Declared, Numbered, World, advance

STATE: dict[str, Any] = {
    "mode": "combat",
    "location": {"name": "The Old Mill", "description": "Flour dust hangs in the air."},
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 90, "max_hp": 90},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 90, "max_hp": 90},
        "wolf": {"name": "Wolf", "side": "foes", "hp": 90, "max_hp": 90},
    },
}


def prompt(memory: str, target: str = "goblin", result: str = "hit") -> Prompt:
    scene = classify(advance(World(), Numbered(1, ev.State(0.0, STATE), 0.0)))
    declared = Declared("mira", {"type": "attack", "name": "bow", "target": target}, "", {})
    account = Account.of_variant(scene, declared, target, result, part=False)
    return DefaultPrompts()(scene, declared, account, memory, {})


def up_to(found: Prompt, mark: int) -> str:
    """The text before the breakpoint of this number, from 0."""
    marked = [n for n, message in enumerate(found.messages) if message.cache]
    return "\x00".join([found.system, *(m.text for m in found.messages[: marked[mark] + 1])])


def told(transcript: Transcript, number: int, text: str) -> None:
    line = {"kind": "~told", "telling": f"t{number}", "t": float(number), "text": text}
    transcript.restore(line)


def test_the_candidates_of_a_moment_share_what_is_stable_and_its_results_the_scene_too() -> None:
    memory = "The door gives way. \nMira steps in."
    of = [prompt(memory, *what) for what in (("goblin", "hit"), ("goblin", "miss"), ("wolf",))]
    assert len({up_to(each, 0) for each in of}) == 1 and "Mira steps in." in up_to(of[0], 0)
    assert up_to(of[0], 1) == up_to(of[1], 1) != up_to(of[2], 1)
    assert all(each.messages[-1].text.startswith("Tell this.") for each in of)
    assert len([m for m in of[0].messages if m.cache]) == 2, "the API has four, with the system's"


def test_the_next_moment_begins_with_the_blocks_of_this_one() -> None:
    texts = [f"Blow {n} falls,\n\nand the mill shakes. " for n in range(12)]
    for n in range(1, 12):
        before, after = (up_to(prompt("\n".join(texts[:many])), 0) for many in (n, n + 1))
        assert after.startswith(before + "\x00"), "whole blocks are what a server keeps"


def test_no_block_is_without_a_word() -> None:
    for memory in ("\n \nOne.\n\n\nTwo.\n \n", "One.", "One. \n\n"):
        story = prompt(memory).messages[:-2]
        assert story and all(message.text.strip() for message in story)
        assert "One." in "".join(message.text for message in story)
    for memory in ("", "\n", " \n \n"):
        assert [m.text[:5] for m in prompt(memory).messages] == ["SCENE", "Tell "]


def test_the_memory_keeps_its_beginning_while_it_grows() -> None:
    transcript, room = Transcript(), 400 * 4
    before, kept = "", 0
    for number in range(1, 301):
        told(transcript, number, f"Telling {number}: {'word ' * (15 + 7 * number % 20)}")
        memory = transcript.memory(400)
        kept += memory.startswith(before)
        assert len(memory.replace("\n", "")) <= room
        if number > 20:
            assert 2 * len(memory) >= room and memory.startswith("Telling ")
        before = memory
    assert kept > 220, "it begins elsewhere once in four tellings"


def test_the_memory_begins_alike_whatever_was_forgotten() -> None:
    whole, short = Transcript(), Transcript(most=20)
    for number in range(1, 101):
        for transcript in (whole, short):
            told(transcript, number, f"Telling {number}: {'word ' * 15}")
        assert whole.memory(200) == short.memory(200)


async def test_one_moment_after_the_next_is_read_from_the_cache() -> None:
    engine = Engine(profile("hosted-large"))
    settings = {"intensity": "off", "memory_tokens": 1200}
    asked: list[list[str]] = []

    class Listening(NarratorModel):
        async def stream(self, request: Any) -> Any:
            asked.append([request.system, *(message.text for message in request.messages)])
            async for event in super().stream(request):
                yield event

    async with foretell.Game(settings, model=Listening(engine)) as game:
        session = await game.session("t")
        session.update(STATE)
        for _ in range(60):
            await session.outcome("mira", "longsword", "miss", target="goblin")
    accounts, anew = [*engine.accounts], 0
    for before, now, account in zip(asked, asked[1:], accounts[1:], strict=False):
        stable = before[:-2]
        length = tokens(sum(map(len, stable)))
        if now[: len(stable)] != stable:
            anew += 1  # the memory begins elsewhere
        elif length >= engine.profile.min_cached_tokens:
            assert account.cache_read >= length
    assert anew < 20
    assert sum(each.cache_read for each in accounts) > sum(each.cache_write for each in accounts)
