"""The store of variants beside a model so simple that it can be believed, in virtual time."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from foretell.operators.fingerprint import Dependence
from foretell.sinks.store_cold import MemoryCold
from foretell.sinks.store_layers import Limits, Room
from foretell.sinks.variant_store import VariantStore
from foretell.streams.clock import VirtualLoop

LIMITS = Limits(Room(2, 10.0, "lru"), Room(3, 20.0, "lfu"), Room(3, 40.0, "ttl"), largest=100)
ROOM = {"hot": LIMITS.hot, "warm": LIMITS.warm, "cold": LIMITS.cold}

KEYS = st.sampled_from(["a", "a1", "b", "c", "d"])
MARKS = st.sampled_from(["", "x"])
TTLS = st.sampled_from([None, 5, 15, 35, 60, 61])
TURNS = st.sampled_from([None, None, "t1", "t2"])
SELDOM = st.sampled_from([False] * 19 + [True])
PATHS = st.sampled_from([("actors",), ("actors", "g"), ("actors", "g", "hp"), ("location",)])
TAGS = st.sampled_from(["book", "boots", "rules"])


PUT = st.fixed_dictionaries(
    {
        "key": KEYS,
        "mark": MARKS,
        "ttl": TTLS,
        "value": st.sampled_from([0.1, 0.5]),
        "turn": TURNS,
        "paths": st.lists(PATHS, max_size=1),
        "tags": st.lists(TAGS, max_size=2, unique=True),
    }
)
SEEN: Counter[str] = Counter()
"""In all examples: how many look-ups there were, and how many found something in which layer."""


@dataclass(eq=False)
class Kept:
    id: tuple[str, str]
    text: str
    ttl: float | None
    value: float
    turn: str | None
    depends: Dependence
    tags: tuple[str, ...]
    level: str = ""
    used: int = 0
    count: int = 1
    expires: float = math.inf
    until: float = math.inf

    def rank(self) -> tuple[bool, tuple[float, ...]]:
        order = {
            "hot": (float(self.used),),
            "warm": (float(self.count), self.value, float(self.used)),
            "cold": (self.until, float(self.used)),
        }
        return self.turn is not None, order[self.level]

    def touches(self, path: tuple[str, ...]) -> bool:
        def within(inner: tuple[str, ...], outer: tuple[str, ...]) -> bool:
            return inner[: len(outer)] == outer

        return any(within(path, mine) or within(mine, path) for mine in self.depends.paths)


class Model:
    def __init__(self) -> None:
        self.kept: list[Kept] = []
        self.gone: Counter[str] = Counter()
        self.hits: Counter[str] = Counter()
        self.misses = 0
        self.clock = 0

    def find(self, key: str, mark: str) -> Kept | None:
        return next((each for each in self.kept if each.id == (key, mark)), None)

    def level(self, name: str) -> list[Kept]:
        return [each for each in self.kept if each.level == name]

    def use(self, kept: Kept) -> None:
        self.clock += 1
        kept.used = self.clock

    def enter(self, kept: Kept, level: str, now: float) -> None:
        inside = [each for each in self.level(level) if each is not kept]
        if len(inside) >= ROOM[level].size:
            lowest = min(inside, key=Kept.rank)
            if lowest.turn is not None and kept.turn is None:
                if level == "cold":
                    self.leave(kept, "dropped")
                else:
                    self.gone["full"] += 1
                    self.enter(kept, "cold", now)
                return
            if level == "cold":
                self.leave(lowest, "dropped")
            else:
                lowest.level = ""
        kept.level = level
        self.stay(kept, now)
        for homeless in self.level(""):
            self.gone["full"] += 1
            self.enter(homeless, "cold", now)

    def stay(self, kept: Kept, now: float) -> None:
        until = min(now + ROOM[kept.level].seconds, kept.expires)
        kept.until = until if kept.turn is None else math.inf

    def leave(self, kept: Kept, why: str) -> None:
        self.kept.remove(kept)
        self.gone[why] += 1

    def sweep(self, now: float) -> None:
        while due := [each for each in self.kept if each.until <= now]:
            first = min(due, key=lambda each: (each.until, each.used))
            if first.expires <= first.until or first.level == "cold":
                self.leave(first, "expired")
            else:
                self.gone["aged"] += 1
                self.enter(first, "cold", first.until)


class Machine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.model = Model()
        self.cold = MemoryCold()
        self.number = 0
        self.ended: set[str | None] = set()

        async def make() -> VariantStore:
            store = VariantStore(LIMITS, cold=self.cold)
            store.changed({"any": 1}, ())
            return store

        self.store = self.run(make())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    @property
    def now(self) -> float:
        return self.loop.time()

    def teardown(self) -> None:
        self.loop.close()

    @rule(puts=st.lists(PUT, min_size=3, max_size=8))
    def put_several(self, puts: list[dict[str, Any]]) -> None:
        for each in puts:
            self.put(**each)
            self.they_agree()

    def put(self, key: str, mark: str, ttl: float | None, value: float, turn: str | None,
            paths: list[tuple[str, ...]], tags: list[str]) -> None:  # fmt: skip
        self.number += 1
        text = f"text {self.number}"
        taken = self.store.store(
            key, [text], ttl, fingerprint=mark, value=value, turn=turn, depends=paths, tags=tags
        )
        turn = None if turn in self.ended else turn
        self.model.sweep(self.now)
        before = self.model.find(key, mark)
        depends = Dependence(tuple(paths), (), "", ())
        kept = Kept((key, mark), text, ttl, value, turn, depends, tuple(tags))
        level = "warm"
        if before is not None:
            kept.count = before.count + 1
            level = "warm" if before.level == "cold" else before.level
            self.model.leave(before, "replaced")
        self.model.kept.append(kept)
        self.model.use(kept)
        kept.expires = math.inf if turn or ttl is None else self.now + ttl
        self.model.enter(kept, level, self.now)
        assert taken == (kept in self.model.kept)

    @rule(
        puts=st.lists(PUT, min_size=1, max_size=4),
        which=st.lists(st.integers(0, 100), min_size=2, max_size=4),
        level=st.sampled_from(["hot", "warm", "cold"]),
        wait=st.booleans(),
    )
    def put_and_look_for_what_is_there(
        self, puts: list[dict[str, Any]], which: list[int], level: str, wait: bool
    ) -> None:
        self.put_several(puts)
        for number in which:
            there = self.model.level(level) or self.model.kept
            self.look_up(*there[number % len(there)].id, wait)

    @rule(key=KEYS, mark=MARKS, wait=st.booleans())
    def look_up(self, key: str, mark: str, wait: bool) -> None:
        found = self.run(self.store.get(key, mark)) if wait else self.store.ready(key, mark)
        self.model.sweep(self.now)
        kept = self.model.find(key, mark)
        assert found == (None if kept is None else [kept.text])
        SEEN["asked"] += 1
        SEEN["nothing" if kept is None else kept.level] += 1
        if kept is None:
            self.model.misses += 1
            return
        self.model.hits[kept.level] += 1
        kept.count += 1
        self.model.use(kept)
        if kept.level == "hot":
            self.model.stay(kept, self.now)
        else:
            self.model.enter(kept, "hot", self.now)

    @rule(key=KEYS, mark=MARKS)
    def consume(self, key: str, mark: str) -> None:
        self.store.consume(key, mark)
        if (kept := self.model.find(key, mark)) is not None:
            self.model.leave(kept, "consumed")

    @rule(seconds=st.sampled_from([0.5, 1.0, 4.0, 5.0, 10.0, 25.0]), long=SELDOM)
    def time_passes(self, seconds: float, long: bool) -> None:
        self.run(asyncio.sleep(100.0 if long else seconds))

    @rule(turn=st.sampled_from(["t1", "t2"]))
    def turn_ends(self, turn: str) -> None:
        self.store.end_turn(turn)
        self.ended.add(turn)
        self.model.sweep(self.now)
        for kept in [each for each in self.model.kept if each.turn == turn]:
            kept.turn = None
            kept.expires = math.inf if kept.ttl is None else self.now + kept.ttl
            self.model.stay(kept, self.now)

    @rule(turn=st.sampled_from(["t1", "t2"]))
    def turn_begins(self, turn: str) -> None:
        self.store.begin_turn(turn)
        self.ended.discard(turn)

    @rule(path=PATHS, expected=st.booleans())
    def state_changes(self, path: tuple[str, ...], expected: bool) -> None:
        self.store.changed({"any": 1}, [(path, None)], expected=expected)
        self.model.sweep(self.now)
        for kept in [each for each in self.model.kept if each.touches(path)]:
            if not expected:
                self.model.leave(kept, "changed")

    @rule(pattern=st.sampled_from(["a", "a*", "?", "boo?", "boo*", "rules", "[ab]", "nothing"]))
    def invalidate(self, pattern: str) -> None:
        fits = {
            "a": {"a"}, "a*": {"a", "a1"}, "?": {"a", "b", "c", "d"}, "boo?": {"book"},
            "boo*": {"book", "boots"}, "rules": {"rules"}, "[ab]": {"a", "b"}, "nothing": set(),
        }[pattern]  # fmt: skip
        self.model.sweep(self.now)
        found = [each for each in self.model.kept if {each.id[0], *each.tags} & fits]
        assert self.store.invalidate(pattern) == len(found)
        for kept in found:
            self.model.leave(kept, "invalidated")

    @rule(really=SELDOM)
    def clear(self, really: bool) -> None:
        if not really:
            return
        self.store.clear()
        for kept in [*self.model.kept]:
            self.model.leave(kept, "cleared")

    @rule(really=SELDOM)
    def session_ends(self, really: bool) -> None:
        if not really:
            return
        self.store.end_session()
        self.model.sweep(self.now)
        for kept in self.model.level("hot"):
            self.model.leave(kept, "ended")
        for turn in ("t1", "t2"):
            for kept in self.model.kept:
                if kept.turn == turn:
                    kept.turn = None
                    kept.expires = math.inf if kept.ttl is None else self.now + kept.ttl
                    self.model.stay(kept, self.now)

    @invariant()
    def they_agree(self) -> None:
        stats = self.store.stats()
        self.model.sweep(self.now)
        for name, layer in stats.layers.items():
            mine = self.model.level(name)
            ids = sorted(entry.id for entry in self.store._shelves.layers[name])
            assert ids == sorted(each.id for each in mine), name
            assert layer.entries <= layer.size
            assert layer.bytes == sum(len(each.text) for each in mine)
            assert layer.pinned == len([each for each in mine if each.turn])
            assert layer.hits == self.model.hits[name]
        assert stats.misses == self.model.misses
        assert dict(stats.evictions) == {k: n for k, n in self.model.gone.items() if n}
        assert len(self.cold._cache._cache) == len(self.model.level("cold")), (
            "nothing is left there"
        )
        due = len(self.store._shelves._due)
        assert due <= 65 + 4 * (sum(room.size for room in ROOM.values()) + 1)  # ints


def test_the_store_does_what_the_model_does() -> None:  # 0-12, 0-14 … 0-16, 1-34 … 1-39, 1-65
    SEEN.clear()
    run_state_machine_as_test(Machine, settings=settings(max_examples=120, stateful_step_count=30))
    asked, found = SEEN["asked"], SEEN["hot"] + SEEN["warm"] + SEEN["cold"]
    assert asked > 500 and found > asked / 4, "it has not looked into an empty store"
    assert min(SEEN["hot"], SEEN["warm"], SEEN["cold"]) > asked / 40
