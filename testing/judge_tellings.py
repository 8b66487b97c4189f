"""Of tellings: each outcome has exactly one in time (G2), fresh and true (G1), for its viewers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..operators.narrative import Ended, Served, Started, Status
from ..operators.results import KILL
from ..operators.tongue import code_of, foreign
from ..streams.models import ModelOverloaded, Purpose
from .changes import doubts
from .evidence import Evidence, entries_of, may_know
from .moods import FALL
from .sentinel import said_in
from .shown import Told
from .stamps import Stamp, asked
from .truth import untrue, vouched
from .watch import WatchedStream

__all__ = ["Tellings"]


class Tellings:
    """Judges tellings as they end."""

    def __init__(self, evidence: Evidence) -> None:
        self._known = evidence
        self._ends: list[tuple[Any, Ended]] = []
        self._again: dict[str, tuple[str, tuple[int, ...]]] = {}
        self._told_of: dict[int, str] = {}
        self._stamped = False
        self._by_number: dict[int, WatchedStream] = {}

    def started(self, event: Started) -> None:
        """A telling begins; what one tells that is told again, is decided now."""
        happening = self._known.under_way.get(event.outcomes[0])
        if event.retells is not None and happening is not None and happening.again:
            self._again[event.telling] = self._known.told_with(happening.again)

    def heard(self, told: Told) -> None:
        """The first words of a telling."""
        if undone := self._undone(told):
            self._known.broke("G1", f"{told.id} begins, though {undone} is undone")

    def ended(self, event: Ended, told: Told) -> None:
        """A telling is over."""
        known = self._known
        for number in event.outcomes:
            happening = known.under_way.pop(number, None)
            if happening is None:
                what = "a second time" if number in known.happenings else "of which nobody spoke"
                known.broke("G2", f"{event.telling} tells outcome {number} {what}")
                continue
            if (handle := known.handles.pop(number, None)) is not None:
                self._ends.append((handle, event))
            if known.late(happening):
                known.broke("G2", f"outcome {number} was told after its deadline")
            if (happening.again is None) != (event.retells is None):
                known.broke("G2", f"{event.telling} takes what happened for what is told again")
            if event.retells == "" and not known.keeps_all:
                happening.cancelled = True
                continue
            if event.to != happening.to:
                known.broke("G7", f"outcome {number} is for {happening.to}, told to {event.to}")
            match event.status:
                case Status.DONE if not event.text or event.error is not None:
                    known.broke("G2", f"{event.telling} is done, with {event.error or 'no text'}")
                case Status.FAILED if not (event.text and event.error and event.kind):
                    known.broke("G2", f"{event.telling} failed without a word")
                case Status.FAILED if event.kind == ModelOverloaded.kind:
                    known.broke("G2", f"{event.telling} gave up on a server that asked to wait")
                case Status.SUPERSEDED if not known.may_be_cut(happening):
                    known.broke("G2", f"{event.telling} was ended early, and nobody asked for it")
        outcomes = event.outcomes
        if event.retells is not None:
            first, outcomes = self._again.pop(event.telling, (event.retells, ()))
            if event.retells not in ("", first):
                what = f"{event.telling} stands in the place of {event.retells}, not of {first}"
                known.broke("G7", what)
        text = event.text.replace(FALL, "") if f"|{KILL}|" in event.text else event.text
        if "LIE" in text or "987654" in text:
            known.broke("G1", f"{event.telling} has more than happened: {event.text!r}")
        self._text(event, told, outcomes)
        self._language(event)

    def check(self) -> None:
        """After a step: nobody waits beyond a deadline, and handles have come to their ends."""
        known = self._known
        for number, happening in known.under_way.items():
            if known.late(happening):
                known.broke("G2", f"outcome {number} has no telling at its deadline")
            break  # the oldest; deadlines are equal
        for told in known.unheard():
            if undone := self._undone(told):
                known.broke("G4", f"{told.id} goes on unheard, though {undone} is undone")
        for handle, ended in self._ends:
            if handle.ended is not ended:
                known.broke("G2", f"the handle of {ended.telling} has not come to its end")
        self._ends.clear()

    def finish(self) -> None:
        """After the end: all has been told, and was counted once."""
        known = self._known
        for number in known.under_way:
            known.broke("G2", f"outcome {number} was never told")
        report = known.session.report()
        again = [each.again is not None for each in known.happenings.values()]
        for name, many in (("served", again.count(False)), ("retold", again.count(True))):
            if (counted := sum(report[name].values())) != many and known.changes.standing.whole:
                known.broke("G2", f"the session counts {counted} of {many} tellings {name}")

    def forget(self) -> None:
        """The process is gone: what it was telling is never told to its end."""
        self._known.under_way.clear()
        self._known.handles.clear()
        self._ends.clear()
        self._again.clear()

    def _undone(self, told: Told) -> list[int]:
        """Which of its outcomes are undone."""
        return [each for each in told.outcomes if not self._known.changes.standing.stands(each)]

    def _text(self, ended: Ended, told: Told, outcomes: Sequence[int]) -> None:
        known = self._known
        stamps = Stamp.read(ended.text)
        self._stamped = self._stamped or any("⟦" in stream.text for stream in known.streams)
        if not self._stamped:
            return
        parts = [
            (known.happenings[number], part)
            for number in outcomes
            if number in known.happenings
            for part in known.parts(number)
        ]
        if ended.status is Status.DONE and len(stamps) != len(parts):
            known.broke("G1", f"{ended.telling} tells {len(stamps)} of {len(parts)} things")
        passed = known.passed
        for said in said_in(ended.text):
            if passed is not None and said not in passed:
                known.broke("G2", f"{ended.telling} shows {said}, which no guard let through")
        for stamp, (truth, part) in zip(stamps, parts, strict=False):
            stream = self._stream(stamp.stream)
            ahead = (
                stream is not None
                and stream.request.purpose is Purpose.PREFETCH
                and stream not in known.again
            )
            if ahead and part[1] != stamp.result and vouched(known.streams, stamp, part[1]):
                part = (part[0], stamp.result, *part[2:])
            if wrong := untrue(stamp, truth, part, prepared=ahead):
                known.broke("G1", f"{ended.telling} is untrue: {stamp} {wrong}")
            if stream is not None:
                made_for = asked(stream.request).get("to", ())
                if not may_know(made_for, told.to):
                    known.broke("G7", f"{ended.telling}, for {told.to}, was made for {made_for}")
            if stream is not None and told.first is not None:
                self._fresh(stamp, stream, told, told.first[1])
        for number in {stamp.stream: None for stamp in stamps}:
            before = self._told_of.setdefault(number, ended.telling)
            if before != ended.telling:
                what = f"the text of stream {number} was told twice: {before}, {told.id}"
                known.broke("G1", what)

    def _language(self, ended: Ended) -> None:
        """What was prepared, and is told in one instant, is in the language of the settings."""
        ready = ended.served == (Served.HIT,) and ended.status is Status.DONE
        if ready and ended.latency == (0.0,) and ended.retells is None:
            wrong = foreign(ended.text, code_of(self._known.settings.language))
            if wrong is not None:
                self._known.broke("G1", f"{ended.telling} was prepared, and {wrong}")

    def _fresh(self, stamp: Stamp, stream: WatchedStream, told: Told, began: int) -> None:
        known, entries = self._known, entries_of(stream)
        if stream in known.again:
            return
        for entry in entries:
            deed = entry["actor"], entry["action"], entry["target"] or ""
            if deed != (stamp.actor, stamp.action, stamp.target):
                continue
            since = max(n for n in told.outcomes if known.did(n) in (deed[:2], None))
            for number, what in known.changes.between(stamp.known, began):
                if doubts(what, entry, entries, number > since) and not known.restless(stream):
                    known.broke(
                        "G1",
                        f"{told.id} is stale: {stamp} was first told after input {began}, though "
                        f"input {number} changed {sorted(what)}",
                    )

    def _stream(self, number: int) -> WatchedStream | None:
        for stream in self._known.streams[len(self._by_number) :]:
            self._by_number[stream.number] = stream
        return self._by_number.get(number)
