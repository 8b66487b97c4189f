"""What of a session is usage, for a predictor to learn."""

from __future__ import annotations

from typing import Any

from foretell.operators.predictors import Event
from foretell.operators.usage import ASPECTS, act_of, item_of, scopes_of
from foretell.streams import events as ev
from foretell.streams.world import Numbered, World, advance

STATE: dict[str, Any] = {
    "location": {"id": "cellar"},
    "actors": {
        "mira": {"name": "Mira", "side": "party"},
        "goblin-2": {"name": "Goblin 2", "side": "foes"},
        "p1": {"name": "Sparky", "species": "Pikachu", "side": "a"},
        "odd": {"side": 3},
    },
}
SWING = {"type": "attack", "name": "Longsword", "target": "goblin-2"}


def used(aspect: str, *events: ev.Input) -> list[Event]:
    found, world = [], World()
    for number, event in enumerate(events, 1):
        after = advance(world, Numbered(number, event, event.t))
        if (event_of := ASPECTS[aspect](world, after, event, 1e9 + event.t)) is not None:
            found.append(event_of)
        world = after
    return found


def test_an_actor_stands_for_itself_its_kind_and_its_side() -> None:
    world = advance(World(), Numbered(1, ev.State(0.0, STATE), 0.0))
    assert scopes_of(world, "goblin-2") == ("goblin-2", "kind goblin", "side foes")
    assert scopes_of(world, "p1") == ("p1", "kind pikachu", "side a")
    assert scopes_of(world, "odd") == ("odd", "kind odd", "side 3")
    assert scopes_of(world, "wolf_07") == ("wolf_07", "kind wolf", "side ")


def test_an_action_is_what_and_to_whom() -> None:
    assert item_of(SWING) == ("attack", "longsword")
    assert act_of({**SWING, "target": ["b", "a"]}) == ("attack", "longsword", "a", "b")
    assert act_of({}) == ("", "")


def test_an_action_counts_once_when_it_is_declared_and_an_outcome_that_was_not_declared() -> None:
    events = (
        ev.State(0.0, STATE),
        ev.Turn(1.0, "t1", "mira"),
        ev.Action(2.0, "a1", "t1", "mira", SWING),
        ev.Action(3.0, "a1", "t1", "mira", {**SWING, "name": "axe"}),
        ev.Action(4.0, "a1", "t1", "mira", None),
        ev.Action(5.0, "a2", "t1", "mira", {"type": "cast", "name": "bless"}),
        ev.Outcome(6.0, (ev.Result("hit"),), action_id="a2"),
        ev.Outcome(7.0, (ev.Result("hit"),), actor="goblin-2", action={**SWING, "target": "mira"}),
        ev.Outcome(8.0, (ev.Result("hit"),)),
    )
    assert [event.key for event in used("actor", *events)] == [("mira",), ("mira",), ("goblin-2",)]
    mira = ("mira", "kind mira", "side party")
    goblin = ("goblin-2", "kind goblin", "side foes")
    assert used("item", *events) == [
        Event(1e9 + 2, ("attack", "longsword"), mira),
        Event(1e9 + 5, ("cast", "bless"), mira),
        Event(1e9 + 7, ("attack", "longsword"), goblin),
    ]
    assert [event.key for event in used("target", *events)] == [("goblin-2",), ("mira",)]
    assert used("action", *events)[0].key == ("attack", "longsword", "goblin-2")


def test_places_are_those_gone_to_and_needs_what_was_wanted() -> None:
    moved = {"op": "replace", "path": "/location", "value": {"id": "hall"}}
    events = (
        ev.State(0.0, STATE),
        ev.State(1.0, {**STATE, "round": 2}),
        ev.Patch(2.0, [moved]),
        ev.Need(3.0, "statblock:sea-hag"),
        ev.State(4.0, {**STATE, "location": {"id": "hall", "exits": []}}),
    )
    assert [event.key for event in used("place", *events)] == [("cellar",), ("hall",)]
    assert used("need", *events) == [Event(1e9 + 3, ("statblock:sea-hag",))]
