"""What comes of what is done, as a session has seen it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from foretell.operators.classify import classify
from foretell.operators.foresee import Foresight
from foretell.operators.odds_learned import MOST_KEYS, LearnedOdds
from foretell.operators.predict import Intensity, planner
from foretell.streams import events as ev
from foretell.streams.world import Declared, Numbered, World, advance

STATE = {
    "mode": "combat",
    "actors": {
        "mira": {"side": "party", "hp": 90},
        "tam": {"side": "party", "hp": 90},
        "grik": {"side": "foes", "hp": 90},
    },
}
SWORD = {"type": "attack", "name": "longsword", "target": "grik"}
CHECK = {"type": "check", "name": "athletics"}


class Table:
    """A world with its foresight, as a session has them."""

    def __init__(self) -> None:
        self.world, self.foresight, self.tick = World(), Foresight(), 0
        self.feed(ev.State(0.0, STATE))

    def feed(self, event: ev.Input) -> None:
        self.tick += 1
        event = replace(event, t=float(self.tick))
        before = self.world
        self.world = advance(before, Numbered(self.tick, event, event.t))
        self.foresight.on_world(before, self.world)
        self.foresight.catch_up()

    def done(self, action: dict[str, Any], word: str, **values: Any) -> None:
        name = f"a{self.tick}"
        self.feed(ev.Action(0.0, name, None, "mira", action))
        self.feed(ev.Outcome(0.0, (ev.Result(word, action.get("target"), values),), name))

    def odds(self, action: dict[str, Any], actor: str = "mira") -> dict[str, float]:
        declared = Declared(actor, action, "", self.world.state)
        return self.foresight.odds.odds(self.world, declared, action.get("target"))

    def planned(self, action: dict[str, Any]) -> list[str]:
        self.feed(ev.Action(0.0, "next", None, "mira", action))
        plan = planner(
            lambda: Intensity.CONSERVATIVE,
            8,
            self.foresight.candidates,
            otherwise=self.foresight.odds.odds,
        )
        return [each.result for each in plan(classify(self.world))]


def test_nobody_knows_better_before_anything_has_come() -> None:
    assert Table().odds(SWORD) == {"hit": 0.6, "miss": 0.35, "critical": 0.05}
    assert Table().odds(CHECK) == {"failure": 0.55, "success": 0.45}


@pytest.mark.parametrize("word", ["rolled", "resisted", "blocked"])
def test_a_word_of_the_games_own_is_prepared_once_it_was_seen(word: str) -> None:  # 8-2
    table = Table()
    assert word not in table.planned(CHECK)
    table.done(CHECK, word)
    assert word in table.planned(CHECK)
    for _ in range(3):
        table.done(CHECK, word)
    assert table.planned(CHECK)[0] == word


def test_what_has_the_name_counts_more_than_the_type_and_that_more_than_all() -> None:
    table = Table()
    for _ in range(4):
        table.done({**CHECK, "name": "history"}, "rolled")
    same = table.odds({**CHECK, "name": "History"})["rolled"]
    kind = table.odds(CHECK)["rolled"]
    other = table.odds({"type": "use", "name": "lever"})["rolled"]
    assert same > kind > other > 0.02
    assert "rolled" not in table.odds(SWORD)


def test_what_always_hits_is_expected_to_hit_but_may_be_critical() -> None:  # 0-3
    table = Table()
    for _ in range(60):
        table.done(SWORD, "hit", damage=0)
    odds = table.odds(SWORD)
    assert odds["hit"] > 0.95
    assert {*odds} == {"hit", "miss", "critical"}
    for _ in range(60):
        table.done(CHECK, "success")
    assert table.odds(CHECK) == {"success": 1.0}


def test_what_was_seen_of_late_counts_more() -> None:
    table = Table()
    for word in ["miss"] * 40 + ["hit"] * 40:
        table.done(SWORD, word)
    odds = table.odds(SWORD)
    assert odds["hit"] > 0.6
    assert odds["miss"] < 0.4


def test_the_odds_come_to_1() -> None:
    table = Table()
    for number in range(200):
        table.done(SWORD, f"word {number % 23}")
        assert math.fsum(table.odds(SWORD).values()) == pytest.approx(1.0)


def test_only_words_count_and_of_no_outcome_its_own() -> None:
    some, others = Table(), Table()
    for number, word in enumerate(["hit", "miss", "hit", "critical"]):
        some.done(SWORD, word, roll=number, ac=12)
        others.done(SWORD, word, roll=20 - number, ac=30)
        assert some.odds(SWORD) == others.odds(SWORD)


def test_an_outcome_that_comes_twice_counts_once() -> None:
    table = Table()
    table.done(SWORD, "blocked")
    once = table.odds(SWORD)
    table.feed(ev.Outcome(0.0, (ev.Result("blocked", "grik"),), "a1"))
    assert table.odds(SWORD) == once


def test_memory_is_bounded() -> None:
    learned, world = LearnedOdds(), World()
    for number in range(MOST_KEYS + 50):
        done = Declared("mira", {**CHECK, "name": f"n{number}"}, "", {})
        word = f"w{number}"
        learned.note(world, done, ev.Outcome(0.0, (ev.Result(word), ev.Result("x" * 99)), None))
    counts = learned._counts
    assert len(counts) == MOST_KEYS
    assert max(map(len, counts.values())) <= 16
    assert not any(len(word) > 40 for each in counts.values() for word in each)
