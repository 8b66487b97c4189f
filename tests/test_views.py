"""Who may know what: no prompt holds what its audience may not know, and no text either."""

from __future__ import annotations

import asyncio
import os
import random
import re
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import foretell
from foretell.operators.candidate import Candidate
from foretell.operators.classify import classify
from foretell.operators.predict import variants
from foretell.operators.views import Views, common
from foretell.replay.lockstep import NotRecorded
from foretell.replay.verify import verify
from foretell.sinks.store import Store
from foretell.streams import events
from foretell.streams.log import read
from foretell.streams.models import ModelOverloaded
from foretell.streams.world import Declared, Numbered, World, advance
from foretell.testing import Script, ScriptedModel, instant, run_virtual

SEEDS = int(os.environ.get("FORETELL_VIEW_SEEDS", "30"))
SECRET = re.compile(r"secret_(gm|mira|bob)_\w+")
PLAYERS = ("mira", "bob")

STATE: dict[str, Any] = {
    "mode": "combat",
    "plot": "secret_gm_plot",
    "location": {"id": "mill", "name": "Old Mill", "description": "secret_gm_cellar"},
    "letters": {"mira": "secret_mira_letter", "bob": "secret_bob_letter"},
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20, "attacks": ["Sword"]},
        "bob": {"name": "Bob", "side": "party", "hp": 20, "max_hp": 20, "attacks": ["Bow"]},
        "stranger": {
            "name": "secret_gm_name",
            "as": "a hooded figure",
            "side": "foes",
            "description": "secret_gm_looks",
            "hp": 30,
            "max_hp": 30,
            "attacks": ["Cane", "secret_gm_blade"],
        },
        "secret_gm_assassin": {
            "name": "Vex secret_gm_vex",
            "hidden": True,
            "side": "foes",
            "hp": 9,
            "max_hp": 9,
            "attacks": ["secret_gm_garotte"],
        },
    },
}
CONTENT: dict[str, Any] = {
    "stat_block": {
        "secret_gm_name": {"desc": "secret_gm_block", "size": "Medium"},
        "Vex secret_gm_vex": {"desc": "secret_gm_assassin_block"},
    },
    "lore": {"Old Mill": {"seen": "A wheel.", "gm": "secret_gm_lore", "bob": "secret_bob_lore"}},
}


def view(state: dict[str, Any], viewer: str | None) -> Any:
    """The game master sees all, a player what it may, and all what each of them may."""
    if viewer == "gm":
        return state
    del state["plot"], state["location"]["description"]
    state["letters"] = {who: text for who, text in state["letters"].items() if who == viewer}
    actors = {}
    for each, actor in state["actors"].items():
        if actor.get("hidden"):
            continue
        actors[each] = {"name": actor.get("as") or actor["name"], "side": actor["side"]}
        if actor["side"] == "party":
            actors[each] |= {"hp": actor["hp"], "attacks": actor["attacks"]}
    return {**state, "actors": actors}


def content_view(kind: str, name: str, value: Any, viewer: str | None) -> Any:
    if viewer == "gm":
        return value
    keys = {"seen", "size", viewer}
    return {key: each for key, each in value.items() if key in keys}


def allowed(secret: str, viewer: str) -> bool:
    return viewer == "gm" or secret.startswith(f"secret_{viewer}_")


class Prompted(foretell.DefaultPrompts):
    """Prompts of the most talkative kind: all that is to be had of what they are given."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[foretell.Account, str]] = []

    def __call__(self, scene: Any, action: Any, outcome: Any, memory: str, content: Any) -> Any:
        prompt = super().__call__(scene, action, outcome, memory, content)
        given = repr((scene.world, scene.context, action, outcome, memory, content, prompt))
        self.made.append((outcome, given))
        said = " ".join(sorted({each.group() for each in SECRET.finditer(given)}))
        return f"{said}\n{prompt.messages[-1].text}"


def parrot(rng: random.Random) -> Any:
    """A model that blurts out every secret it was told, if it says anything."""

    def answer(request: Any, number: int) -> Script:
        text = request.messages[-1].text
        blurted = " ".join(sorted({each.group() for each in SECRET.finditer(text)}))
        slots = "They have {target_hp} left, {damage} gone. "
        script = Script({"text": f"{slots}{blurted} Steel."}, ttft=rng.choice((0.1, 1.5)), chunk=40)
        if rng.random() < 0.15:
            return Script(error=ModelOverloaded("busy"), ttft=0.1, chunks=rng.choice((0, 2)))
        return script

    return answer


def game_of(settings: Mapping[str, Any], **given: Any) -> foretell.Game[Any]:
    own: dict[str, Any] = {"view": view, "content_view": content_view, "content": CONTENT}
    return foretell.Game(settings, **{**own, **given})


async def play(seed: int, folder: Path | None = None, **given: Any) -> tuple[Prompted, Any]:
    """A night drawn from a seed: secrets are planted, acted on, said and told."""
    rng, prompts = random.Random(seed), Prompted()
    settings = {
        "intensity": rng.choice(("conservative", "aggressive", "aggressive")),
        "overlap": rng.choice(("conflate", "queue", "interrupt")),
        "deadline": 6.0,
        "spend": "none",
        **({} if folder is None else {"log_dir": str(folder)}),
    }
    state = {**deepcopy(STATE), "mode": rng.choice(("combat", "combat", "exploration"))}
    model = ScriptedModel(parrot(rng))
    async with game_of(settings, prompts=prompts, model=model, **given) as game:
        session = await game.session("night")
        told: list[Any] = []
        session.update(state)
        for step in range(25):
            actor = rng.choice([*state["actors"]])
            others = [each for each in state["actors"] if each != actor]
            target: Any = rng.choice(others)
            if rng.random() < 0.2:
                target = rng.sample(others, 2)
            to = rng.choice(((), (), ("gm",), ("mira",), ("bob", "mira"), ("mira", "gm")))
            # What is told to others than the game master alone is no secret of its.
            names = ["Cane", "Sword", *(["secret_gm_bluff"] if to == ("gm",) else [])]
            named = rng.choice(names)
            move = rng.random()
            if move < 0.25:
                plans = ({"type": "use", "name": "secret_gm_plan"},)
                session.begin_turn(actor, options=rng.choice(((), plans)))
            elif move < 0.35:
                speaker = rng.choice(("gm", *PLAYERS))
                session.say(speaker, f"secret_{speaker}_said {step}")
            elif move < 0.45:
                state["actors"]["stranger"]["hp"] -= 1
                state["plot"] = f"secret_gm_plot{step}"
                session.update(state)
            elif move < 0.5 and told:
                name = rng.choice(told).id
                with suppress(foretell.StateError):
                    session.retell(name)
            elif move < 0.55:
                session.rewind(session.world.revision // 2 + 1)
            elif move < 0.75:
                what = {"name": named, "why": "secret_gm_why"}
                action = session.declare(actor, what, target=target, to=to)
                await asyncio.sleep(rng.choice((0.0, 0.3, 3.0)))
                results = [
                    {"target": each, "result": rng.choice(("hit", "miss")), "values": {"damage": 1}}
                    for each in ([target] if isinstance(target, str) else [*target, others[-1]])
                ]
                again = rng.choice((None, to, to, ()))
                if "secret" in named:
                    again = rng.choice((None, ("gm",)))
                action.outcome(results=results, to=again)
                told.append(action)
            elif move < 0.9:
                after = state if rng.random() < 0.5 else None
                session.outcome(actor, named, "hit", target=target, damage=2, to=to, state=after)
            else:
                session.declare(actor, "secret_gm_threat", target=target, to=("gm",))
            await asyncio.sleep(rng.choice((0.0, 0.0, 0.5, 2.0, 6.0)))
        await asyncio.sleep(30)
        assert session.report()["stale"] == session.report()["untrue"] == 0
        return prompts, session


def check(prompts: Prompted, session: Any) -> None:
    for account, given in prompts.made:
        for found in SECRET.finditer(given):
            viewers = account.to or PLAYERS
            assert all(allowed(found.group(), each) for each in viewers), (account.to, given)
    for viewer in PLAYERS:
        for found in SECRET.finditer(session.transcript.text(viewer)):
            assert allowed(found.group(), viewer), session.transcript.text(viewer)


def test_no_prompt_and_no_text_holds_what_its_audience_may_not_know() -> None:  # 8-6
    seen: dict[tuple[str, ...], set[str]] = {}
    shown = 0
    for seed in range(SEEDS):
        prompts, session = run_virtual(play(seed))
        check(prompts, session)
        for account, given in prompts.made:
            seen.setdefault(account.to, set()).update(
                each.group() for each in SECRET.finditer(given)
            )
        shown += len(session.transcript.text("mira"))
    # The game master's own prompts hold what is planted, of every sort; a player's, its own.
    for planted in (
        *("cellar", "name", "looks", "vex", "block", "assassin_block", "lore", "bluff", "threat"),
        *("said", "assassin", "garotte"),
    ):
        assert f"secret_gm_{planted}" in seen[("gm",)], planted
    assert any(each.startswith("secret_gm_plot") for each in seen[("gm",)])
    assert seen[("mira",)] == {"secret_mira_letter", "secret_mira_said"}
    assert seen[()] == seen[("bob", "mira")] == set()
    assert shown > 1000


def test_without_views_everybody_may_know_everything() -> None:
    prompts, _ = run_virtual(play(3, view=None, content_view=None))
    public = [given for account, given in prompts.made if not account.to]
    assert any("secret_gm_plot" in given for given in public)


@pytest.mark.parametrize("seed", range(6))
def test_a_recorded_night_with_views_replays_exactly(seed: int, tmp_path: Path) -> None:  # G9
    run_virtual(play(seed, tmp_path))
    path = tmp_path / "night.jsonl"
    opened = next(each for each in read(path) if each.kind == "~opened")
    assert opened.data["guests"]["view"] == f"{__name__}:view"
    with pytest.raises(NotRecorded, match="view"):
        verify(path)
    found = verify(path, lambda settings: game_of(settings, prompts=Prompted()), heavy=True)
    assert found.difference is None and found.lines > 100


# ── one thing at a time ───────────────────────────────────────────────────────────────────────


async def prompt_for(to: tuple[str, ...], **given: Any) -> tuple[Prompted, ScriptedModel]:
    """A fight of which the outcome is told to ``to``, waited for."""
    prompts, model = Prompted(), ScriptedModel(Script({"text": "Steel."}))
    settings = {"intensity": "off"}
    async with game_of(settings, prompts=prompts, model=model, **given) as game:
        session = await game.session("one")
        session.update(STATE)
        await session.outcome("mira", "Sword", "hit", target="stranger", damage=3, to=to)
    return prompts, model


async def test_a_prompt_has_the_names_its_audience_knows() -> None:
    for to, name in (
        ((), "a hooded figure"),
        (("mira",), "a hooded figure"),
        (("gm",), "secret_gm"),
    ):
        prompts, _ = await prompt_for(to)
        assert len(prompts.made) == 1
        assert name in prompts.made[0][1]


async def test_who_is_not_seen_is_someone_and_how_hale_is_not_told_where_it_is_not_seen() -> None:
    prompts, model = Prompted(), ScriptedModel(Script({"text": "Steel."}))
    async with game_of({"intensity": "off"}, prompts=prompts, model=model) as game:
        session = await game.session("one")
        session.update(STATE)
        await session.outcome(
            "secret_gm_assassin", "knife", "hit", target="stranger", damage=3, target_hp=27
        )
        await session.outcome("stranger", "cane", "hit", target="mira", damage=3, target_hp=17)
    account, given = prompts.made[0]
    entry = account.entries[0]
    assert (entry.declared.actor, entry.happened.target) == ("someone", "stranger")
    assert entry.happened.values == {"damage": 3}
    assert '"actor":"someone"' in given
    assert prompts.made[1][0].entries[0].happened.values == {"damage": 3, "target_hp": 17}


async def test_fallback_text_names_nobody_unseen() -> None:
    model = ScriptedModel(Script(error=foretell.ModelError("down"), ttft=0.1))
    async with game_of({"intensity": "off"}, model=model) as game:
        session = await game.session("one")
        session.update(STATE)
        texts = []
        for to in ((), ("gm",)):
            telling = session.outcome("secret_gm_assassin", "knife", "hit", target="mira", to=to)
            with pytest.raises(foretell.TellingError):
                await telling
            texts.append(telling.ended.text if telling.ended else "")
    assert texts == [
        "Someone: knife against Mira: hit.",
        "Vex secret_gm_vex: knife against Mira: hit.",
    ]


async def test_a_slot_does_not_say_what_the_viewers_may_not_know() -> None:
    model = ScriptedModel(Script({"text": "It has {target_hp} left, of {damage}. Steel."}))
    for to, text in (((), "of 3. Steel."), (("gm",), "27 left, of 3. Steel.")):
        prompts = Prompted()
        async with game_of({}, model=model, prompts=prompts) as game:
            session = await game.session("one")
            session.update(STATE)
            session.begin_turn("mira")
            action = session.declare("mira", "Sword", target="stranger", to=to)
            await asyncio.sleep(5)
            told = await action.outcome("hit", damage=3, target_hp=27)
            assert text in told.text and ("27" in told.text) is (to == ("gm",))
            asked = [account.slots for account, _ in prompts.made]
            assert any("target_hp" in slots for slots in asked) is (to == ("gm",))


async def test_a_view_that_raises_or_talks_nonsense_shows_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def later() -> None: ...

    def raises(state: Any, viewer: str | None) -> Any:
        raise KeyError(viewer)

    def cancels(state: Any, viewer: str | None) -> Any:
        raise asyncio.CancelledError

    for wrong in (
        raises,
        cancels,
        lambda s, v: None,
        lambda s, v: [s],
        lambda s, v: {"a": object()},
        lambda s, v: later(),
    ):
        caplog.clear()
        prompts, model = Prompted(), ScriptedModel(Script({"text": "Steel."}))
        async with game_of({"intensity": "off"}, prompts=prompts, model=model, view=wrong) as game:
            session = await game.session("one")
            session.update(STATE)
            told = await session.outcome("mira", "Sword", "hit", target="stranger", damage=3)
            assert told.text == "Steel." and session.report()["faults"] == 1
        account, given = prompts.made[0]
        assert account.entries[0].declared.actor == "someone"
        assert not SECRET.search(given) and "Mill" not in given
        assert "view raised" in caplog.text


async def test_what_a_view_does_to_its_state_changes_nothing() -> None:
    def greedy(state: dict[str, Any], viewer: str | None) -> Any:
        state["actors"].clear()
        return state

    async with game_of({"intensity": "off"}, model=ScriptedModel(), view=greedy) as game:
        session = await game.session("one")
        session.update(STATE)
        await session.outcome("mira", "Sword", "hit", target="stranger", damage=3)
        assert session.world.state == STATE


async def test_a_view_is_asked_once_for_each_state_and_viewer() -> None:
    asked: list[str | None] = []

    def counted(state: Any, viewer: str | None) -> Any:
        asked.append(viewer)
        return view(state, viewer)

    async with game_of({}, model=ScriptedModel(Script({"text": "Steel."})), view=counted) as game:
        session = await game.session("one")
        for hp in range(20, 0, -1):  # nothing is prepared, nothing told: nobody is asked
            state = deepcopy(STATE)
            state["actors"]["mira"]["hp"] = hp
            session.update(state)
            await asyncio.sleep(1)
        assert asked == []
        session.begin_turn("mira")
        session.declare("mira", "Sword", target="stranger")
        await asyncio.sleep(5)
        assert asked == [None]  # for three variants and more
        await session.outcome("bob", "Bow", "hit", target="stranger", to=["bob", "mira"])
        assert asked == [None, "bob", "mira"]


async def test_nothing_is_prepared_of_whom_nobody_sees_nor_of_what_nobody_was_told() -> None:
    prompts, model = Prompted(), ScriptedModel(Script({"text": "Steel."}))
    async with game_of({"intensity": "aggressive"}, prompts=prompts, model=model) as game:
        session = await game.session("one")
        session.update(STATE)
        session.begin_turn("secret_gm_assassin")
        session.declare("secret_gm_assassin", "Sword", target="mira")
        await asyncio.sleep(5)
        assert prompts.made == []
        session.begin_turn("stranger")  # its attacks are on a sheet that only the game master sees
        await asyncio.sleep(5)
        assert prompts.made == []
        await session.outcome("stranger", "Cane", "miss", target="mira", to=["gm"])
        session.begin_turn("stranger")
        await asyncio.sleep(5)
        assert [account.to for account, _ in prompts.made] == [("gm",)]
        await session.outcome("stranger", "Cane", "miss", target="mira")
        session.begin_turn("stranger")
        await asyncio.sleep(5)
        named = {each.entries[0].declared.action["name"] for each, _ in prompts.made[2:]}
        assert len(prompts.made) > 2 and named == {"Cane"}


async def test_what_is_declared_to_some_is_prepared_for_them_and_told_to_no_other() -> None:
    for to, served in ((None, "hit"), (["gm"], "hit"), ([], "miss"), (["mira"], "miss")):
        prompts, model = Prompted(), ScriptedModel(Script({"text": "Steel."}))
        async with game_of({}, prompts=prompts, model=model) as game:
            session = await game.session("one")
            session.update(STATE)
            session.begin_turn("stranger")
            action = session.declare("stranger", "secret_gm_blade", target="mira", to="gm")
            await asyncio.sleep(5)
            assert {account.to for account, _ in prompts.made} == {("gm",)}
            assert "secret_gm_letter" not in prompts.made[0][1]
            telling = action.outcome("miss", to=to)
            await telling
            assert telling.ended is not None
            assert telling.ended.served == (served,)
            assert telling.ended.to == tuple(["gm"] if to is None else to)
            assert (await session_text(session, "mira") == "") is (served == "hit")


async def session_text(session: foretell.Session[Any], viewer: str) -> str:
    await instant()
    return session.transcript.text(viewer)


async def test_an_action_that_is_declared_to_others_is_prepared_anew() -> None:
    prompts, model = Prompted(), ScriptedModel(Script({"text": "Steel."}))
    async with game_of({}, prompts=prompts, model=model) as game:
        session = await game.session("one")
        session.update(STATE)
        session.begin_turn("mira")
        action = session.declare("mira", "Sword", target="bob", to=["gm"])
        await asyncio.sleep(5)
        session.declare("mira", "Sword", target="bob", action_id=action.id)
        first = action.outcome("miss")  # in this very moment only the one for the master is there
        await first
        assert first.ended is not None and first.ended.served == (foretell.Served.MISS,)
        session.begin_turn("mira")
        action = session.declare("mira", "Sword", target="bob", to=["gm"])
        await asyncio.sleep(5)
        session.declare("mira", "Sword", target="bob", action_id=action.id)
        await asyncio.sleep(5)
        then = action.outcome("miss")
        await then
        assert then.ended is not None and then.ended.served == (foretell.Served.HIT,)


async def test_the_memory_of_a_prompt_is_what_all_its_viewers_saw() -> None:
    prompts, texts = Prompted(), iter(("For mira.", "For all.", "For both.", "", "", ""))
    model = ScriptedModel(lambda request, number: {"text": next(texts) or "Steel."})
    async with game_of({"intensity": "off"}, prompts=prompts, model=model, view=None) as game:
        session = await game.session("one")
        session.update(STATE)
        for to in (["mira"], [], ["mira", "bob"], ["mira"], ["bob"], []):
            await session.outcome("mira", "Sword", "miss", target="stranger", to=to)
    memories = [
        [each for each in ("For mira.", "For all.", "For both.") if each in given]
        for _, given in prompts.made[3:]
    ]
    assert memories == [
        ["For mira.", "For all.", "For both."],
        ["For all.", "For both."],
        ["For all."],
    ]


async def test_content_is_for_nobody_unless_a_view_lets_it_through() -> None:
    for given, there in (
        ({"view": None, "content_view": None}, True),
        ({"content_view": None}, False),
        ({"view": lambda state, viewer: state, "content_view": None}, False),
        ({}, True),
        ({"content_view": lambda *given: 1 / 0}, False),
        ({"content_view": lambda *given: object()}, False),
    ):
        prompts, model = Prompted(), ScriptedModel(Script({"text": "Steel."}))
        async with game_of({}, prompts=prompts, model=model, **given) as game:
            session = await game.session("one")
            session.update({**STATE, "mode": "exploration"})
            await asyncio.sleep(1)
            await session.outcome("mira", "look", "success")
        assert ("A wheel." in prompts.made[-1][1]) is there


async def test_a_view_of_content_is_asked_once_for_each_viewer() -> None:
    asked: list[tuple[str, str, str | None]] = []

    def counted(kind: str, name: str, value: Any, viewer: str | None) -> Any:
        asked.append((kind, name, viewer))
        value["seen"] = "nothing"  # of a copy
        return content_view(kind, name, CONTENT[kind][name], viewer)

    prompts, model = Prompted(), ScriptedModel(Script({"text": "Steel."}))
    async with game_of({}, prompts=prompts, model=model, content_view=counted) as game:
        session = await game.session("one")
        session.update({**STATE, "mode": "exploration"})
        await asyncio.sleep(1)
        for to in ([], ["bob"], [], ["mira", "bob"], ["bob"]):
            await session.outcome("mira", "look", "success", to=to)
    lore = [("lore", "Old Mill", viewer) for viewer in (None, "bob", "mira")]
    assert asked == lore
    known = ["secret_bob_lore" in given for _, given in prompts.made]
    assert known == [False, True, False, False, True]
    assert all("A wheel." in given for _, given in prompts.made)


async def test_the_context_of_a_prompt_is_what_its_audience_knows_of_it() -> None:
    def peaceful(state: dict[str, Any], viewer: str | None) -> Any:
        return state if viewer == "gm" else {**view(state, viewer), "mode": "exploration"}

    for to, context in (((), "exploration"), (("gm",), "combat")):
        prompts, _ = await prompt_for(to, view=peaceful)
        assert f'"context":"{context}"' in prompts.made[0][1]


def test_what_may_come_is_known_where_the_place_or_the_talk_offers_it() -> None:
    def shy(state: dict[str, Any], viewer: str | None) -> Any:
        del state["location"]["exits"][0], state["dialogue"]["options"][0]
        return state

    place = {"exits": ["Trapdoor", "Cellar", {"to": "Road"}]}
    talk = {"npc": "Grukk", "options": ["Bribe", {"text": "Ask"}]}
    world = World(state={"actors": {"mira": {}}, "location": place, "dialogue": talk})
    views = Views(shy, None, classify, lambda where, error: pytest.fail(str(error)))
    for name, known in (("cellar", 1), ("Road", 1), ("Ask", 1), ("Trapdoor", 0), ("Bribe", 0)):
        declared = Declared("mira", {"type": "move", "name": name}, "", {})
        assert views.lists(world, declared, ()) is bool(known), name
    world = world._replace(state={**world.state, "location": {"exits": {"north": "Attic"}}})
    views = Views(lambda state, viewer: state, None, classify, lambda *fault: None)
    for name in ("north", "Attic"):
        assert views.lists(world, replace(declared, action={"type": "move", "name": name}), ())
    assert views.sees(world, declared, "Grukk", ()) and not views.sees(world, declared, "Vex", ())


def test_a_store_tells_variants_apart_by_whom_they_are_for() -> None:
    scene = classify(advance(World(), Numbered(1, events.State(0.0, STATE), 0.0)))
    declared = Declared("mira", {"type": "attack", "name": "Sword", "target": "bob"}, "k", STATE)
    (hit, *_) = variants(scene, Candidate(declared, 1.0, "declared"))
    store, master = Store(), replace(hit, to=("gm",))
    store.put(master, object())
    assert store.holds(master) and not store.holds(hit) and hit != master


def test_what_views_have_in_common_is_what_is_equal_in_them() -> None:
    one = {"a": 1, "b": {"c": "x", "d": True}, "e": [1, {"f": 2}, 3], "g": 1, "only": 1}
    other = {"a": 1, "b": {"c": "y", "d": 1}, "e": [3, {"f": 2}], "g": None}
    assert common(one, other) == {"a": 1, "b": {}, "e": [{"f": 2}, 3]}
    assert common(one, one) == one


@pytest.mark.parametrize("name", ["view", "content_view"])
def test_a_view_is_a_plain_function(name: str) -> None:
    async def later(*given: Any) -> Any: ...

    wrong: dict[str, Any]
    for guest, why in ((later, "not an async one"), ("gm", "must be a function")):
        wrong = {name: guest}
        with pytest.raises(foretell.ConfigError, match=f"{name} .*{why}"):
            foretell.Game({}, model=ScriptedModel(), **wrong)


def test_whom_an_action_is_declared_to_stands_in_the_log(tmp_path: Path) -> None:
    found = set()
    for seed in range(1, 7):
        run_virtual(play(seed, tmp_path / str(seed)))
        lines = read(tmp_path / str(seed) / "night.jsonl")
        found |= {tuple(each.data.get("to", ())) for each in lines if each.kind == "action"}
    assert found >= {("gm",), ("mira", "gm")}
