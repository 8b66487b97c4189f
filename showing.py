"""What viewers and handles are given of the narrative, and what is recorded of it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from .operators.generation import Trace
from .operators.narrative import Ended, Narrative, Patched, Served, Started, Status
from .operators.partials import Patch, apply
from .sinks.audit import Audit
from .sinks.kept import Kept
from .sinks.report import Tally
from .sinks.telling import Telling
from .sinks.transcript import Transcript

__all__ = ["Showing"]

log = logging.getLogger("foretell")

M = TypeVar("M", bound=BaseModel)


class Showing(Generic[M]):
    """Hands each event of the narrative to all who keep something of it, the handles last.

    :param name: of the session.
    :param quiet: nobody is warned of a failing model: it failed when this was recorded.
    """

    def __init__(
        self,
        name: str,
        transcript: Transcript,
        audit: Audit,
        tally: Tally,
        kept: Kept,
        trace: Trace,
        quiet: bool,
    ) -> None:
        self._name = name
        self._transcript = transcript
        self._audit = audit
        self._tally = tally
        self._kept = kept
        self._trace = trace
        self._quiet = quiet
        self.handles: dict[int, Telling[M]] = {}
        """Those whose telling has not started, by the input that asked for it."""
        self._following: dict[str, dict[int, Telling[M]]] = {}
        self._current: list[Narrative] = []
        self._failing: str | None = None

    def on_event(self, event: Narrative) -> None:
        """Take in what is told."""
        self._transcript.on_event(event)
        match event:
            case Started():
                self.handles |= self._following.pop(event.telling, {})
                self._following[event.telling] = self._handles_of(event.outcomes)
                self._current = [event, *self._current[1:]]
                self._trace(
                    "~telling",
                    telling=event.telling,
                    outcomes=event.outcomes,
                    to=event.to,
                    **_retelling(event),
                )
            case Patched():
                self._current = [*self._current[:1], self._whole_so_far(event)]
                if event.text:
                    self._trace("~text", telling=event.telling, text=event.text)
            case Ended():
                self._following.setdefault(event.telling, self._handles_of(event.outcomes))
                self._current = []
                self._on_ended(event)
        for handle in self._following[event.telling].values():
            handle.on_event(event)
        if isinstance(event, Ended):
            del self._following[event.telling]

    def present(self) -> list[Narrative]:
        """What a late viewer is given first."""
        return deepcopy(self._current)

    def abandon(self, t: float) -> None:
        """End the handles of outcomes that never came through."""
        for number, handle in self.handles.items():
            handle.on_event(
                Ended(
                    f"t{number}",
                    (number,),
                    (),
                    t,
                    Status.SUPERSEDED,
                    (Served.SUPERSEDED,),
                    (None,),
                    (None,),
                    {},
                    "",
                )
            )
        self.handles.clear()

    def _on_ended(self, event: Ended) -> None:
        self._audit.on_text(event.text)
        self._tally.on_ended(event)
        for number, served in zip(event.outcomes, event.served, strict=True):
            if served is Served.MISS and event.retells is None:
                self._kept.missed(number)
        self._warn_of(event)
        self._trace(
            "~told",
            telling=event.telling,
            status=event.status,
            served=event.served,
            text=event.text,
            to=event.to,
            outcomes=event.outcomes,
            latency=event.latency,
            **_retelling(event),
            **({"error": event.kind} if event.kind else {}),
        )

    def _handles_of(self, outcomes: Iterable[int]) -> dict[int, Telling[M]]:
        found = ((number, self.handles.pop(number, None)) for number in outcomes)
        return {number: handle for number, handle in found if handle is not None}

    def _whole_so_far(self, event: Patched) -> Patched:
        """What a late viewer gets: one patch that sets all there is."""
        before = self._current[1] if len(self._current) > 1 else None
        value: Any = before.patches[0].value if isinstance(before, Patched) else {}
        text = before.text if isinstance(before, Patched) else ""
        for patch in event.patches:
            value = apply(value, patch)
        patches = (Patch((), "set", value),)
        return Patched(event.telling, patches, text + event.text, event.to, event.t)

    def _warn_of(self, event: Ended) -> None:
        """A failing model is said once, until it tells again or fails in another way."""
        if event.status is Status.SUPERSEDED or event.kind == self._failing or self._quiet:
            return
        self._failing = event.kind
        if event.kind is not None:
            log.warning("session %s: fallback text was told: %s", self._name, event.error)


def _retelling(event: Started | Ended) -> dict[str, str]:
    return {} if event.retells is None else {"retells": event.retells}
