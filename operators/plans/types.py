"""Steps, plans, and what viewers of plans receive."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

import orjson

from ...errors import StateError

__all__ = [
    "Ask",
    "Dropped",
    "Flaw",
    "Plan",
    "PlanBegun",
    "PlanEnded",
    "PlanEvent",
    "PlanStatus",
    "Reused",
    "Shelf",
    "Source",
    "Step",
    "Stepped",
    "Tier",
]


class Tier(StrEnum):
    """How long a prompt is; the longest stands first."""

    FULL = "full"
    SIMPLIFIED = "simplified"
    COMPACT = "compact"

    @property
    def shorter(self) -> Tier | None:
        """The next shorter, if there is one."""
        return _beside(self, 1)

    @property
    def longer(self) -> Tier | None:
        """The next longer, if there is one."""
        return _beside(self, -1)


def _beside(tier: Tier, far: int) -> Tier | None:
    tiers = [*Tier]
    at = tiers.index(tier) + far
    return tiers[at] if 0 <= at < len(tiers) else None


class Source(StrEnum):
    """Whose a step is: the model's, by the tier of its prompt; the game's fallback; the rules'.

    ``cache``: the model's, who wrote it for one who saw nearly the same. ``wait``: the safe tool,
    for nothing else can be done, or is worth it.
    """

    FULL = "full"
    SIMPLIFIED = "simplified"
    COMPACT = "compact"
    CACHE = "cache"
    FALLBACK = "fallback"
    HEURISTIC = "heuristic"
    WAIT = "wait"

    @property
    def model(self) -> bool:
        """Whether a model has written it."""
        return self in (Source.FULL, Source.SIMPLIFIED, Source.COMPACT, Source.CACHE)


class PlanStatus(StrEnum):
    """How a plan ended.

    ``done``: the model's, whole. ``partial``: the model's, cut off or out of time; its complete
    steps are the plan. ``heuristic``: the model gave no step that can be done; what stands in for
    it is the plan. ``superseded``: a newer scene of the agent has ended it. ``cancelled``: the game
    has, or the end of the session.
    """

    DONE = "done"
    PARTIAL = "partial"
    HEURISTIC = "heuristic"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: a tool of the registry, and its parameters.

    ``number`` counts the steps of a plan from 1; ``revision`` how often it was planned anew.
    """

    tool: str
    args: Mapping[str, Any] = field(default_factory=dict)
    source: Source = Source.HEURISTIC
    plan: str = ""
    number: int = 0
    revision: int = 0
    on_failed: Callable[[Step, str], None] | None = field(default=None, repr=False, compare=False)

    @property
    def wire(self) -> dict[str, Any]:
        """As a model writes it: ``{"do": "MoveTo", "x": 12, "y": 4}``."""
        return {"do": self.tool, **self.args}

    @property
    def key(self) -> bytes:
        """Equal for equal tools and parameters."""
        return orjson.dumps(self.wire, option=orjson.OPT_SORT_KEYS)

    def failed(self, reason: str = "") -> None:
        """It could not be done: plan anew from here. From any thread; never blocks.

        The iteration that gave it goes on with the new steps, of which none is this one. It changes
        nothing if the plan was superseded, cancelled or planned anew already, nor if eight of its
        steps have failed before.

        :param reason: for the prompt, in a few words.
        :raises StateError: for a step that no plan has handed out.
        """
        if self.on_failed is None:
            raise StateError("the step was not handed out by a plan: there is nothing to plan anew")
        self.on_failed(self, reason)

    def told_by(self, source: Source, plan: str, number: int, revision: int) -> Step:
        """The same, as part of a plan."""
        return replace(self, source=source, plan=plan, number=number, revision=revision)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a step cannot be done.

    ``kind``: ``no_step``, ``unknown_tool``, ``missing``, ``type``, ``range``, ``target``,
    ``precondition``, or ``repeated`` for one that failed before. ``what`` is one line.
    """

    kind: str
    what: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """A step that was left out of a plan, as it came, and why."""

    raw: Any
    flaw: Flaw


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan has come to.

    :param steps: those of who answered; ``source`` says who. All were valid for the snapshot.
    :param dropped: of the model's steps those that could not be done; the first 32.
    :param error: one line on why the model's is not whole, or not there; ``kind`` is its stable
        word: that of a :class:`~foretell.ModelError`, ``deadline`` or ``closed``.
    :param first: seconds from asking to the first step, whoever made it.
    :param model: seconds from asking to the model's first step, if one came.
    :param total: seconds from asking to the end.
    """

    id: str
    agent: str
    status: PlanStatus
    source: Source | None
    steps: tuple[Step, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    error: str | None = None
    kind: str | None = None
    first: float | None = None
    model: float | None = None
    total: float = 0.0
    revision: int = 0


@dataclass(frozen=True, slots=True)
class PlanBegun:
    """A plan begins, or with a higher ``revision`` begins anew after a step that failed."""

    plan: str
    agent: str
    revision: int
    t: float


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step is there. With the model's first, what stood in for it, and waits, falls away."""

    agent: str
    step: Step
    t: float


@dataclass(frozen=True, slots=True)
class PlanEnded:
    """A plan is over."""

    plan: Plan
    t: float


PlanEvent = PlanBegun | Stepped | PlanEnded


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """What one agent wants a plan for. It is equal to itself alone: many are compared often.

    :param began: when it was asked for, in seconds of the session.
    :param standby: what stands in for the model's plan, all of it valid.
    :param done: what was done of the plan before, as it was written.
    :param failed: the step that failed, as it was written, and why.
    :param barred: keys of steps that are not to come again.
    :param together: it was queued, to be asked with others in one request.
    """

    plan: str
    agent: str
    snapshot: Mapping[str, Any]
    goal: str
    began: float
    revision: int = 0
    standby: tuple[Step, ...] = ()
    done: tuple[Mapping[str, Any], ...] = ()
    failed: tuple[Mapping[str, Any], str] | None = None
    barred: frozenset[bytes] = frozenset()
    together: bool = False


@dataclass(frozen=True, slots=True)
class Reused:
    """A plan that was made before: ``how`` is ``exact`` or ``near``, its steps as they were."""

    how: str
    steps: tuple[Any, ...]


class Shelf(Protocol):
    """Plans that were made before."""

    def find(self, ask: Ask, model: str) -> Reused | None:
        """One of this model for an agent who saw nearly the same."""
        ...

    def keep(self, ask: Ask, model: str, steps: Sequence[Step]) -> None:
        """Keep one that is whole."""
        ...

    def failed(self, plan: str, model: str) -> None:
        """A step of it could not be done."""
        ...
