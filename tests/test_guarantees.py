"""The guarantees, as properties of random sessions in virtual time.

A seed decides all: what the game does and when, how the models behave, who fails. What may be told
is worked out here from the raw inputs alone, and not with the pipeline's own fingerprints.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foretell
from foretell.operators.classify import Scene
from foretell.operators.partials import apply
from foretell.operators.prompts import Account
from foretell.streams.footprint import targets_of
from foretell.streams.models import (
    ModelBadRequest,
    ModelCut,
    ModelOverloaded,
    ModelUnavailable,
    Request,
)
from foretell.streams.world import Declared
from foretell.testing import Script, ScriptedModel, ScriptedStream, instant, run_virtual

EXAMPLES = int(os.environ.get("FORETELL_EXAMPLES", "100"))

seeds = st.integers(0, 2**32 - 1)
examples = settings(max_examples=EXAMPLES)

TARGET_FIELDS = ("hp", "conditions")
ACTOR_FIELDS = ("ammo",)
HARMFUL = ("hit", "critical", "failure")
STAMP = re.compile(r"⟦([^⟦⟧]*)⟧")
EVERYTHING = "everything"


# ── what the models write: a stamp for each thing they tell ───────────────────────────────────────


@dataclass(frozen=True)
class Stamp:
    """Who wrote what about whom, and what it knew: the number of the last input it could know."""

    stream: int
    known: int
    actor: str
    action: str
    target: str
    result: str
    damage: str
    hp: str
    name: str

    @staticmethod
    def read(text: str) -> list[Stamp]:
        found = []
        for body in STAMP.findall(text):
            stream, known, *rest = body.split("|")
            found.append(Stamp(int(stream), int(known), *rest))
        return found


def prompts(scene: Scene, action: Declared, outcome: Account, memory: str, content: Any) -> str:
    entries = []
    for entry in outcome.entries:
        what = entry.happened
        slots = {name: f"{{{name}}}" for name in outcome.slots}
        values = {
            **slots,
            **{k: what.values[k] for k in ("damage", "target_hp") if k in what.values},
        }
        entries.append(
            {
                "actor": entry.declared.actor,
                "action": entry.declared.action.get("name"),
                "target": what.target,
                "aims": [what.target, *targets_of(entry.declared.action)],
                "result": what.name or what.result,
                "damage": values.get("damage"),
                "hp": values.get("target_hp"),
                "name": scene.world.actor(what.target).get("name"),
            }
        )
    return orjson.dumps(
        {"known": scene.world.number, "entries": entries, "memory": memory}
    ).decode()


def written(request: Request, number: int) -> str:
    about = orjson.loads(request.messages[0].text)
    parts = []
    for entry in about["entries"]:
        fields = ("actor", "action", "target", "result", "damage", "hp", "name")
        said = "|".join("" if entry[name] is None else str(entry[name]) for name in fields)
        parts.append(f"⟦{number}|{about['known']}|{said}⟧ and so it went on, word {number}.")
    return " ".join(parts)


def chaotic(rng: random.Random, trouble: float) -> Callable[[Request, int], Script]:
    """A model whose every stream is drawn: its times, and with some probability its trouble."""

    def answer(request: Request, number: int) -> Script:
        text = written(request, number)
        whole: Any = {"text": text, "lines": [], "cues": ["drums"]}
        script = Script.drawn(rng, text if rng.random() < 0.1 else whole)
        if rng.random() >= trouble:
            return script
        values = {name: getattr(script, name) for name in Script.__slots__}
        return Script(
            **{
                **values,
                **rng.choice(
                    (
                        {"error": ModelUnavailable("no server")},
                        {"error": ModelBadRequest("no")},
                        {"error": ModelOverloaded("busy", rng.choice((None, 0.5)))},
                        {"error": ModelCut("cut"), "chunks": rng.randint(1, 9)},
                        {"hangs": True},
                        {"hangs": True, "chunks": rng.randint(1, 9)},
                        {"stop": "refusal"},
                        {"answer": ""},
                        {"answer": {"cues": []}},
                        {"teardown": 1.5},
                        {"error": RuntimeError("not a model's error")},
                    )
                ),
            }
        )

    return answer


# ── a random game, and all that is known of it from outside ──────────────────────────────────────


@dataclass
class Truth:
    """An outcome as the game had it; ``parts`` are its (target, result, damage, hp afterwards)."""

    number: int
    t: float
    to: tuple[str, ...]
    actor: str
    action: str
    parts: list[tuple[str | None, str, float | None, float | None]]
    handle: foretell.Telling[Any]
    cancelled: bool = False


@dataclass
class First:
    """The first words of a telling: when, and the number of the last input taken in by then."""

    t: float
    number: int


@dataclass
class Table:
    """Plays a random game against a session, and writes down what must hold."""

    rng: random.Random
    session: foretell.Session[Any]
    model: ScriptedModel
    state: dict[str, Any] = field(default_factory=dict)
    puts: int = 0
    truths: list[Truth] = field(default_factory=list)
    untold: dict[int, set[str]] = field(default_factory=dict)
    changed_at: dict[int, float] = field(default_factory=dict)
    turn_actions: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    open_actions: dict[str, tuple[foretell.Action[Any], dict[str, Any]]] = field(
        default_factory=dict
    )
    events: list[Any] = field(default_factory=list)
    firsts: dict[str, First] = field(default_factory=dict)
    viewers: dict[str, list[Any]] = field(default_factory=dict)
    late: list[list[Any]] = field(default_factory=list)
    in_turn: bool = False
    count: int = 0
    now_closed: float = 0.0
    rewinds: list[float] = field(default_factory=list)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def watch(self) -> None:
        self.session.subscribe(self._on_event)
        for viewer in ("mira", "gm"):
            seen = self.viewers.setdefault(viewer, [])
            self.session.subscribe(seen.append, viewer)
        rng = random.Random(self.rng.random())

        def bad(event: Any) -> None:
            if rng.random() < 0.3:
                raise LookupError("a subscriber's own fault")

        self.session.subscribe(bad)
        self.session.subscribe(bad, "gm")

        async def slow(event: Any) -> None:
            await asyncio.sleep(rng.random())
            bad(event)

        self.session.subscribe(slow)

    def _on_event(self, event: Any) -> None:
        self.events.append(event)
        if isinstance(event, foretell.Patched) and event.text:
            first = First(self.now, self.session.world.number)
            self.firsts.setdefault(event.telling, first)

    # What the game does.

    def put(self, say: Callable[[], Any], inputs: int = 1) -> Any:
        self.puts += inputs
        return say()

    def update(self, because: Any = None, unexpected: Sequence[str] = ()) -> None:
        self.state["tick"] = self.state.get("tick", 0) + 1
        self.put(lambda: self.session.update(self.state, because))
        if unexpected:
            self.untold[self.puts] = set(unexpected)
            self.changed_at[self.puts] = self.now

    def begin(self) -> None:
        actor = self.rng.choice(self.alive)
        options = [
            {"type": "attack", "name": name}
            for name in self.rng.sample(("bow", "axe", "claw"), self.rng.randint(0, 3))
        ]
        self.put(lambda: self.session.begin_turn(actor, options=options))
        self.turn_actions.clear()
        self.open_actions.clear()
        self.in_turn = True

    def end_turn(self) -> None:
        if self.in_turn:
            self.put(self.session.end_turn)
            self.turn_actions.clear()
            self.open_actions.clear()
            self.in_turn = False

    @property
    def alive(self) -> list[str]:
        return list(self.state["actors"])

    def declare(self, action_id: str | None = None) -> None:
        rng = self.rng
        actor = rng.choice(self.alive)
        targets = rng.sample(self.alive, rng.choice((1, 1, 1, 2, 3)))
        target: Any = targets if len(targets) > 1 else targets[0]
        if rng.random() < 0.1:
            targets, target = [], None
        name = rng.choice(("bow", "axe", "claw"))
        odds = rng.choice((None, None, {"hit": 0.7, "miss": 0.3}, {"hit": 0.5, "odd": 0.5}))
        action = self.put(
            lambda: self.session.declare(
                actor,
                name,
                target=target,
                odds=odds,
                action_id=action_id,
                rolled=rng.choice((None, None, None, "hit")),
            )
        )
        self.turn_actions[action.id] = (actor, tuple(targets))
        self.open_actions[action.id] = (action, {"actor": actor, "name": name, "targets": targets})

    def outcome(self) -> None:
        rng = self.rng
        to = rng.choice(((), (), ("gm",), ("mira", "gm")))
        if self.open_actions and rng.random() < 0.8:
            action_id = rng.choice(list(self.open_actions))
            action, what = self.open_actions[action_id]
            actor, name, targets = what["actor"], what["name"], what["targets"]
        else:
            action = None
            actor, name = rng.choice(self.alive), rng.choice(("bow", "axe", "claw"))
            targets = rng.sample(self.alive, rng.choice((1, 1, 2)))
        struck = list(targets)
        if struck and rng.random() < 0.1:
            struck[0] = rng.choice([each for each in self.alive if each not in struck] or struck)
        parts: list[tuple[str | None, str, float | None, float | None]] = []
        results = []
        after = deepcopy(self.state)
        for target in struck or [None]:
            result = rng.choice(("hit", "hit", "miss", "critical", "odd"))
            damage = hp = None
            if target is not None and result in ("hit", "critical"):
                self.count += 1
                damage = rng.choice((3, 7, 14)) + self.count / 128
            health = after["actors"].get(target)
            if health is not None:
                if damage is not None:
                    health["hp"] = max(0, health["hp"] - damage)
                hp = health["hp"]
            parts.append((target, result, damage, hp))
            values = {} if damage is None else {"damage": damage}
            results.append({"target": target, "result": result, "values": values})
        how = rng.choice(("with", "before", "after", "said"))
        if how == "said":
            for part, given_result in zip(parts, results, strict=True):
                if part[3] is not None:
                    given_result["values"]["target_hp"] = part[3]
        if how == "before" and action is not None:
            self.take(after)
            self.update(because=action)
        known = action.id if action is not None else f"undeclared-{self.puts}"
        self.turn_actions[known] = (actor, tuple(dict.fromkeys((*targets, *struck))))
        if how == "with":
            self.take(after)
            self.state["tick"] = self.state.get("tick", 0) + 1
            state: Any = self.state
        else:
            state = None
        if action is not None:
            inputs = 2 if state is not None else 1
            handle = self.put(lambda: action.outcome(results=results, state=state, to=to), inputs)
        else:
            target = targets if len(targets) > 1 else targets[0]
            inputs = 3 if state is not None else 1
            handle = self.put(
                lambda: self.session.outcome(
                    actor, name, target=target, results=results, state=state, to=to
                ),
                inputs,
            )
        self.truths.append(Truth(self.puts, self.now, to, actor, name, parts, handle))
        self.open_actions.pop(known, None)
        if state is None:
            self.take(after)
            self.update(because=action)

    def take(self, after: dict[str, Any]) -> None:
        self.state = {**after, "tick": self.state.get("tick", 0)}

    def disturb(self) -> None:
        """A change nobody announced, of any kind."""
        rng = self.rng
        kind = rng.choice(("name", "ac", "hp", "hp", "ammo", "location", "gone", "back", "aba"))
        actors = self.state["actors"]
        who = rng.choice(self.alive)
        if kind == "location":
            self.state["location"] = {"id": f"place-{self.puts}", "name": f"Place {self.puts}"}
            self.update(unexpected=["location"])
        elif kind == "gone" and len(actors) > 3:
            del actors[who]
            self.update(unexpected=[who])
        elif kind == "aba":
            before = actors[who]["name"]
            actors[who]["name"] = "Somebody Else"
            self.update(unexpected=[who])
            actors[who]["name"] = before
            self.update(unexpected=[who])
        elif kind == "back":
            new = f"a{self.puts}"
            actors[new] = {"name": new, "side": "foes", "hp": 30, "max_hp": 30, "ac": 10}
            self.update(unexpected=[new])
        elif kind in ("name", "ac", "hp", "ammo"):
            before = actors[who].get(kind)
            actors[who][kind] = (
                f"{who} the {self.puts}th"
                if kind == "name"
                else max(0, actors[who].get("hp", 0) - rng.choice((1, 2, 100)))
                if kind == "hp"
                else 100 + self.puts
            )
            actions = self.turn_actions.values()
            expected = (kind in TARGET_FIELDS and any(who in hurt for _, hurt in actions)) or (
                kind in ACTOR_FIELDS and any(who == actor for actor, _ in actions)
            )
            what = f"{who}.{kind}" if kind in (*TARGET_FIELDS, *ACTOR_FIELDS) else who
            same = actors[who][kind] == before
            self.update(unexpected=[] if expected or same else [what])

    def calm(self) -> None:
        """A change no text depends on, or one that names its reason."""
        who = self.rng.choice(self.alive)
        kind = self.rng.choice(("pos", "weather", "because"))
        if kind == "pos":
            self.state["actors"][who]["pos"] = [self.puts, 0]
            self.update()
        elif kind == "weather":
            self.state["weather"] = self.puts
            self.update()
        elif self.open_actions:
            action, _ = self.open_actions[self.rng.choice(list(self.open_actions))]
            self.state["actors"][who]["shield"] = self.puts
            self.update(because=action)

    def rewind(self) -> None:
        to = self.rng.choice((float(self.now / 2), self.puts // 2))
        self.rewinds.append(self.now)
        self.put(lambda: self.session.rewind(to))
        self.untold[self.puts] = {EVERYTHING}
        self.changed_at[self.puts] = self.now
        self.update()
        self.begin()

    def chat(self) -> None:
        self.put(lambda: self.session.say("mira", "I go for its eyes!"))

    def retract(self) -> None:
        if self.open_actions:
            action_id = self.rng.choice(list(self.open_actions))
            action, _ = self.open_actions.pop(action_id)
            self.turn_actions.pop(action_id)
            self.put(action.retract)

    def aim_anew(self) -> None:
        if self.open_actions:
            self.declare(self.rng.choice(list(self.open_actions)))

    def cancel(self) -> None:
        under_way = [truth for truth in self.truths if truth.handle.ended is None]
        if under_way:
            truth = self.rng.choice(under_way)
            truth.handle.cancel()
            for other in self.truths:  # told together, ended together
                other.cancelled |= other.handle.ended is None

    def join(self) -> None:
        seen: list[Any] = []
        self.late.append(seen)
        self.session.subscribe(seen.append)

    def turn_down(self) -> None:
        self.session.intensity = self.rng.choice(("off", "conservative", "aggressive"))

    async def play(self, steps: int) -> None:
        self.state = {
            "mode": "combat",
            "location": {"id": "mill", "name": "Old mill"},
            "actors": {
                f"a{n}": {
                    "name": f"Actor {n}",
                    "side": ("party", "foes")[n % 2],
                    "hp": 40,
                    "max_hp": 40,
                    "ac": 12,
                    "pos": [0, 0],
                }
                for n in range(5)
            },
        }
        self.update()
        moves: list[Callable[[], None]] = [
            self.begin,
            self.begin,
            self.declare,
            self.declare,
            self.declare,
            self.outcome,
            self.outcome,
            self.outcome,
            self.disturb,
            self.disturb,
            self.calm,
            self.chat,
            self.retract,
            self.aim_anew,
            self.end_turn,
            self.join,
        ]
        rare = [self.rewind, self.cancel, self.turn_down]
        for _ in range(steps):
            pauses = (0.0, 0.0, 0.0, 0.06, 0.3, 1.0, 3.0, 8.0)
            if pause := self.rng.choice(pauses):
                await asyncio.sleep(pause * self.rng.uniform(0.9, 1.1))
            elif self.rng.random() < 0.3:
                await instant(3)
            self.rng.choice(rare if self.rng.random() < 0.06 else moves)()


@dataclass
class Played:
    """A finished random session."""

    table: Table
    game_settings: foretell.Settings
    trace: str
    report: dict[str, Any]
    transcripts: dict[str | None, str]
    left: int

    @property
    def digest(self) -> str:
        """Of the trace, and of all that viewers got and when."""
        seen = repr([self.table.events, sorted(self.transcripts.items(), key=str)])
        return hashlib.sha256((self.trace + seen).encode()).hexdigest()


def drawn_settings(rng: random.Random) -> foretell.Settings:
    return foretell.Settings(
        intensity=rng.choice((*foretell.Intensity, foretell.Intensity.CONSERVATIVE)),
        overlap=rng.choice(tuple(foretell.Overlap)),
        deadline=rng.choice((3.0, 8.0, 20.0)),
        max_speculations=rng.choice((1, 2, 4, 8)),
        max_variants=rng.choice((3, 8)),
        max_prefetch_tokens=rng.choice((None, None, 0, 4000)),
        teardown_limit=rng.choice((0.1, 1.0)),
        memory_tokens=rng.choice((0, 200)),
    )


async def session_of(seed: int) -> Played:
    rng = random.Random(seed)
    chosen = drawn_settings(rng)
    model = ScriptedModel(chaotic(random.Random(seed + 1), rng.choice((0.0, 0.1, 0.5))))
    game = foretell.Game(chosen, model=model, prompts=prompts)
    session = await game.session("random")
    table = Table(rng, session, model)
    table.watch()
    await table.play(rng.randint(5, 40))
    table.now_closed = table.now
    await session.close(rng.choice((0.0, 1.0, 60.0)))
    await game.aclose()
    transcripts = {viewer: session.transcript.text(viewer) for viewer in (None, "mira", "gm")}
    left = len(asyncio.all_tasks()) - 1 + len(session.generations.live)
    return Played(table, chosen, session.trace_sha256, session.report(), transcripts, left)


def play(seed: int) -> Played:
    logging.disable()  # the faults are many here, and made on purpose
    try:
        return run_virtual(session_of(seed))
    finally:
        logging.disable(logging.NOTSET)


# ── what must hold ────────────────────────────────────────────────────────────────────────────────


def ends_by_outcome(played: Played) -> dict[int, list[foretell.Ended]]:
    found: dict[int, list[foretell.Ended]] = {}
    for event in played.table.events:
        if isinstance(event, foretell.Ended):
            for number in event.outcomes:
                found.setdefault(number, []).append(event)
    return found


def plain(value: float | None) -> str:
    if value is None:
        return ""
    if float(value).is_integer():
        return str(int(value))
    return f"{value:.4f}".rstrip("0")


def close_to(told: str, true: float) -> bool:
    return abs(float(told) - true) < 1e-3


def assert_true_of(stamp: Stamp, truth: Truth, part: Any) -> None:
    target, result, damage, hp = part
    assert (stamp.actor, stamp.action, stamp.target) == (truth.actor, truth.action, target or "")
    if stamp.result == "kill":
        assert hp is not None and hp <= 0, "fells one that stands"
    else:
        assert stamp.result == result
        if hp is not None and hp <= 0 and result in HARMFUL:
            assert not stamp.hp or float(stamp.hp) == 0, "leaves a fallen one standing"
    if stamp.damage and damage is not None:
        assert close_to(stamp.damage, damage), "the wrong number"
    if stamp.hp and hp is not None:
        assert close_to(stamp.hp, hp), "the wrong health"


@given(seeds)
@examples
def test_nothing_stale_or_untrue_is_ever_told(seed: int) -> None:  # G1
    """Every stamp is true of its outcome, and what it depends on did not change behind its back."""
    played = play(seed)
    table = played.table
    truths = {truth.number: truth for truth in table.truths}
    told: Counter[int] = Counter()
    for ended in {
        id(end): end for ends in ends_by_outcome(played).values() for end in ends
    }.values():
        parts = [(truths[n], part) for n in ended.outcomes for part in truths[n].parts]
        stamps = Stamp.read(ended.text)
        if ended.status is foretell.Status.DONE:
            assert len(stamps) == len(parts), "not everything that happened was told"
        for stamp, (truth, part) in zip(stamps, parts, strict=False):
            assert_true_of(stamp, truth, part)
            first = table.firsts[ended.telling]
            [entry] = [
                entry
                for entry in asked(table.model.streams[stamp.stream - 1])["entries"]
                if (entry["actor"], entry["action"], entry["target"] or "")
                == (stamp.actor, stamp.action, stamp.target)
            ][:1]
            depends = depends_on(entry)
            behind = [
                number
                for number, changed in table.untold.items()
                if stamp.known < number <= first.number and changed & depends
            ]
            assert not behind, f"{stamp} was told at input {first.number} in spite of {behind}"
        told.update({stamp.stream for stamp in stamps})
    assert all(count == 1 for count in told.values()), "a text was told twice"
    assert played.report["stale"] == played.report["untrue"] == 0


@given(seeds)
@examples
def test_every_outcome_gets_exactly_one_telling_before_its_deadline(seed: int) -> None:  # G2
    played = play(seed)
    table, ends = played.table, ends_by_outcome(played)
    policy = played.game_settings.overlap
    assert sorted(ends) == [truth.number for truth in table.truths]
    for truth in table.truths:
        [ended] = ends[truth.number]
        assert truth.handle.ended is ended
        assert ended.t <= truth.t + played.game_settings.deadline + 1e-6
        match ended.status:
            case foretell.Status.DONE:
                assert ended.text and ended.error is None
            case foretell.Status.FAILED:
                assert ended.text and ended.error and ended.kind
            case foretell.Status.SUPERSEDED:
                closing = ended.t >= table.now_closed
                undone = any(truth.t <= t <= ended.t + 1e-6 for t in table.rewinds)
                interrupts = policy is foretell.Overlap.INTERRUPT
                assert interrupts or truth.cancelled or closing or undone


@given(seeds)
@examples
def test_cancelled_means_closed(seed: int) -> None:  # G4
    """Each stream is closed, none beyond the cap is open, and none is read after its end."""
    played = play(seed)
    table = played.table
    streams = table.model.streams
    assert played.left == 0, "tasks or generations were left behind"
    assert not table.model.open
    assert not any(stream.read_after_close for stream in streams)
    assert_within_cap(streams, played.game_settings.max_speculations)
    assert_closed_at_once(table)


def assert_within_cap(streams: Sequence[ScriptedStream], cap: int) -> None:
    moments = sorted(
        [(s.opened_at, 1, s.request.purpose) for s in streams if s.opened_at is not None]
        + [(s.gone_at, 0, s.request.purpose) for s in streams if s.gone_at is not None]
    )
    now_open: Counter[str] = Counter()
    for _, opens, purpose in moments:
        now_open[purpose] += 1 if opens else -1
        assert now_open["prefetch"] <= cap


def asked(stream: ScriptedStream) -> Any:
    return orjson.loads(stream.request.messages[0].text)


def depends_on(entry: Any) -> set[str]:
    """What a text speaks of, less what its own outcome decides."""
    actor, aims = entry["actor"], [each for each in entry["aims"] if each is not None]
    depends = {actor, entry["target"], "location", EVERYTHING}
    depends |= {f"{aim}.ammo" for aim in aims if aim != actor}
    if actor not in aims:
        depends.add(f"{actor}.hp")
    return depends


def assert_closed_at_once(table: Table) -> None:
    """An unexpected change closes what it makes untrue in the same instant, unless it is bound."""
    for stream in table.model.streams:
        known, entries = asked(stream)["known"], asked(stream)["entries"]
        depends = set().union(*map(depends_on, entries))
        for number, changed in table.untold.items():
            at = table.changed_at[number]
            if number <= known or not changed & depends:
                continue
            if stream.opened_at is None or stream.opened_at > at or bound(table, entries, at):
                continue
            assert stream.closed_at is not None
            assert stream.closed_at <= at, f"{stream} ran on after input {number}"


def bound(table: Table, entries: Any, at: float) -> bool:
    """Whether a telling that could be of these entries has begun by then, and not ended."""
    truths = {truth.number: truth for truth in table.truths}
    spoken_of = {(entry["actor"], entry["action"]) for entry in entries}
    return any(
        table.firsts[end.telling].t <= at <= end.t
        and any((truths[n].actor, truths[n].action) in spoken_of for n in end.outcomes)
        for end in table.events
        if isinstance(end, foretell.Ended) and end.telling in table.firsts
    )


@given(seeds)
@examples
def test_the_transcript_is_what_the_viewer_saw(seed: int) -> None:  # G7
    played = play(seed)
    table = played.table
    for viewer, events in table.viewers.items():
        shown: dict[str, str] = {}
        for event in events:
            assert not event.to or viewer in event.to
            if isinstance(event, foretell.Patched):
                shown[event.telling] = shown.get(event.telling, "") + event.text
        assert played.transcripts[viewer] == "\n\n".join(text for text in shown.values() if text)
    told = {
        stamp.stream
        for event in table.events
        if isinstance(event, foretell.Ended)
        for stamp in Stamp.read(event.text)
    }
    for stream in table.model.streams:
        memory = asked(stream)["memory"]
        private = {
            stamp.stream
            for event in table.events
            if isinstance(event, foretell.Ended) and event.to
            for stamp in Stamp.read(event.text)
        }
        heard = {stamp.stream for stamp in Stamp.read(memory)}
        assert heard <= told - private, "a prompt knows what nobody has seen"


@given(seeds)
@examples
def test_viewers_can_put_the_value_together(seed: int) -> None:  # G6
    """Patches give the value, from the start or from the snapshot; what is done stays."""
    table = play(seed).table
    for events in (table.events, *table.late):
        values: dict[str, Any] = {}
        done: dict[str, set[Any]] = {}
        for event in events:
            match event:
                case foretell.Patched():
                    for patch in event.patches:
                        over = done.setdefault(event.telling, set())
                        assert not any(patch.path[: len(path)] == path for path in over)
                        if patch.op == "done":
                            over.add(patch.path)
                        before = values.get(event.telling, {})
                        values[event.telling] = apply(before, patch)
                case foretell.Ended():
                    assert values.get(event.telling, {}) == event.value


@given(seeds)
@settings(max_examples=max(1, EXAMPLES // 4))
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:  # G9
    assert play(seed).digest == play(seed).digest


# ── no clock but the loop's, no chance but the seed's ────────────────────────────────────────────


def test_no_wall_clock_and_no_global_chance(monkeypatch: pytest.MonkeyPatch) -> None:  # G8
    def forbidden(*args: Any, **kwargs: Any) -> NoReturn:
        raise AssertionError("ambient time or chance")

    for module, names in (
        (time, ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep")),
        (random, ("random", "randint", "choice", "shuffle", "uniform", "sample", "getrandbits")),
        (uuid, ("uuid1", "uuid4")),
        (os, ("urandom",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, forbidden)
    played = [play(seed) for seed in range(12)]
    assert any(one.report["served"]["hit"] for one in played)
    assert not any(one.left for one in played)


def pythons() -> list[Any]:
    """This Python, and the other supported ones found here."""
    found: list[Any] = [pytest.param(sys.executable, id="this")]
    given_ones = [each for each in os.environ.get("FORETELL_PYTHONS", "").split(os.pathsep) if each]
    for version in ("3.11", "3.12", "3.13"):
        if sys.version_info[:2] == tuple(map(int, version.split("."))):
            continue
        name = f"python{version}"
        path = next((each for each in given_ones if version in each), None) or shutil.which(name)
        found.append(pytest.param(path, id=name))
    return found


@pytest.mark.parametrize("python", pythons())
def test_hash_seeds_and_python_versions_give_the_same_trace(python: str | None) -> None:  # G9
    script = Path(__file__)
    chosen = [str(seed) for seed in range(6)]
    if (
        python is None
        or subprocess.run(
            [python, "-c", "import foretell, hypothesis, pytest"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("this Python is not here, or has no foretell installed")
    ran = subprocess.run(
        [python, str(script), *chosen],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == [play(int(seed)).digest for seed in chosen]


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        sys.stdout.write(f"{play(int(argument)).digest}\n")
