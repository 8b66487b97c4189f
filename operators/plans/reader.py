"""Steps read out of a model's answer while it comes, each as its object closes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

from ...streams.parts import timed
from ..partials import MISSING, PartialParser, Patch, Path

__all__ = ["PlansReader", "StepReader"]

AFTER_BRACKET = re.compile(r"(?<=[}\]])")
LISTS: tuple[Path, ...] = ((), ("steps",), ("plan",), ("plan", "steps"), ("plans", 0, "steps"))
"""Where the steps of a plan stand."""
OURS = ("steps", "plan", "plans")
WHOSE = ("agent", "agent_id", "id", "name")
"""What models call the agent of a plan."""

T = TypeVar("T")


class _Reader(ABC, Generic[T]):
    """Reads a text as it comes; an object in it that has no plan is passed over."""

    def __init__(self) -> None:
        self._parser = PartialParser()
        self._found = False
        self._over = False

    @timed("parse")
    def feed(self, text: str) -> list[T]:
        """What a piece of the text completes, as it was written."""
        found: list[T] = []
        for piece in AFTER_BRACKET.split(text):
            if self._over:
                break
            found += self._taken(self._parser.feed(piece))
            self._look()
        return found

    def finish(self) -> list[T]:
        """What is found only now that no more comes; what is not closed is none."""
        if self._over:
            return []
        self._over = True
        return self._taken(self._parser.finish().patches)

    @abstractmethod
    def _taken(self, patches: Iterable[Patch]) -> list[T]:
        """What is complete now."""

    def _begin_anew(self) -> None:
        """Another value is read, for the one before it was none of ours."""
        self._parser = PartialParser()

    def _look(self) -> None:
        """Whether a value is complete: the plan, or one that stands before it."""
        if not self._parser.done() or self._parser.doubtful:
            return
        value = self._parser.value
        if self._found or (isinstance(value, dict) and any(name in value for name in OURS)):
            self._over = True
        else:
            self._begin_anew()


class StepReader(_Reader[Any]):
    """Reads the steps of one plan.

    ::

        feed    {"steps":[{"do":"Move   To","x":1}   ,{"do":"Wait"}   ]}  |
        gives                           MoveTo        Wait

    The plan is an object with ``steps``, or a list of steps, wherever in the text it stands: an
    object before it that is none (``{"note": 1}``) is passed over. In whatever pieces a text comes,
    its steps are the same, and what is cut off has those that were complete. It raises nothing.
    """

    def _taken(self, patches: Iterable[Patch]) -> list[Any]:
        closed = [patch.path for patch in patches if patch.op == "done" and _is_step(patch.path)]
        steps = [_at(self._parser.value, path) for path in closed]
        steps = [step for step in steps if isinstance(step, dict)]
        self._found = self._found or bool(steps)
        return steps


class PlansReader(_Reader[tuple[str, Any]]):
    """Reads the plans of several agents out of one answer: each step, and whose it is.

    ::

        feed    {"plans":[{"agent":"a","steps":[{"do":"Wait"}   ]},{"agent":"b",…   ]}  |
        gives                                     a Wait        a is whole           b …

    A plan whose agent is named behind its steps gives them when the name is there. One without a
    name is that of the agent in its place, if there are as many plans as agents. Of two plans of an
    agent the first stands; one of somebody nobody has asked about is left out.

    :param agents: the names that were asked about, in their order.
    """

    def __init__(self, agents: Sequence[str]) -> None:
        super().__init__()
        self.whole: dict[str, None] = {}
        """The agents whose plan is complete."""
        self.odd: list[tuple[str, str]] = []
        """Plans that were left out: ``stranger`` or ``twice``, and in a line, why."""
        self._agents = tuple(agents)
        self._begin()

    def _begin(self) -> None:
        self._held: dict[Path, list[Any]] = {}  # steps of a plan whose agent is not named yet
        self._entries: dict[Path, str | None] = {}  # whose each plan is; nobody's, if left out

    def _begin_anew(self) -> None:
        super()._begin_anew()
        self._begin()

    def finish(self) -> list[tuple[str, Any]]:
        """The rest; of plans without a name, too, if there is one for each agent."""
        steps = super().finish()
        if len({*self._held, *self._entries}) == len(self._agents):
            taken = {name for name in self._entries.values() if name is not None}
            for entry, held in self._held.items():
                place = entry[-1]
                agent = self._agents[place] if isinstance(place, int) else ""
                if agent not in taken and agent:
                    steps += [(agent, step) for step in held]
                    self.whole[agent] = None
        self._held = {}
        return steps

    def _taken(self, patches: Iterable[Patch]) -> list[tuple[str, Any]]:
        steps: list[tuple[str, Any]] = []
        for path in [patch.path for patch in patches if patch.op == "done"]:
            entry, rest = _entry(path)
            if not entry:
                continue
            if not rest:
                self._close(entry)
            elif len(rest) == 1 and rest[0] in WHOSE:
                steps += self._named(entry, _at(self._parser.value, path))
            elif len(rest) == 2 and rest[0] in ("steps", "plan") and isinstance(rest[1], int):
                step = _at(self._parser.value, path)
                if isinstance(step, dict):
                    self._found = True
                    steps += self._stepped(entry, step)
        return steps

    def _stepped(self, entry: Path, step: dict[str, Any]) -> list[tuple[str, Any]]:
        if entry not in self._entries:
            self._held.setdefault(entry, []).append(step)
            return []
        agent = self._entries[entry]
        return [] if agent is None else [(agent, step)]

    def _named(self, entry: Path, name: Any) -> list[tuple[str, Any]]:
        if entry in self._entries or isinstance(name, bool) or not isinstance(name, str | int):
            return []
        agent = str(name)
        held = self._held.pop(entry, [])
        if agent not in self._agents:
            self._leave_out(entry, "stranger", f"a plan for {agent[:40]!r}, who did not ask")
            return []
        if agent in self._entries.values():
            self._leave_out(entry, "twice", f"a second plan for {agent[:40]!r}")
            return []
        self._entries[entry] = agent
        return [(agent, step) for step in held]

    def _leave_out(self, entry: Path, kind: str, what: str) -> None:
        self._entries[entry] = None
        if len(self.odd) < len(self._agents):
            self.odd.append((kind, what))

    def _close(self, entry: Path) -> None:
        agent = self._entries.get(entry)
        if agent is not None:
            self.whole[agent] = None


def _entry(path: Path) -> tuple[Path, Path]:
    """The path of a plan among several, and what comes below it."""
    depth = 2 if path[:1] == ("plans",) else 1
    entry = path[:depth]
    return (entry, path[depth:]) if entry and isinstance(entry[-1], int) else ((), ())


def _is_step(path: Path) -> bool:
    return bool(path) and isinstance(path[-1], int) and path[:-1] in LISTS


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value if value is not MISSING else None
