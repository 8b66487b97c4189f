"""Of model streams: bounded (G3), closed once unwanted (G4) or untrue (G1), the player's first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..asking import EARLIER
from ..operators.predict import Intensity
from ..session import Session
from ..streams.events import Retell
from ..streams.models import ModelOverloaded, Purpose
from .bills import Bills
from .changes import Happening, doubts, speaks_of
from .evidence import EPSILON, Evidence, deed_of, entries_of
from .stamps import asked, marks
from .watch import WatchedStream

__all__ = ["Streams"]

CHARS_PER_TOKEN = 4


class Streams:
    """Judges streams as they are opened, and those that are open after each step."""

    def __init__(self, evidence: Evidence) -> None:
        self.bills = Bills(evidence.session)
        self._known = evidence
        self._open: list[WatchedStream] = []
        self._fresh: list[Happening] = []
        self._changed: dict[int, float] = {}
        self._alone: float | None = None
        self._checked = -1.0
        self._first = 0
        self._off = evidence.session.intensity is Intensity.OFF
        self._remembered = evidence.settings.memory_tokens
        """The most a prompt was to remember: a speculation may wait since before that changed."""

    # ── what comes to pass ────────────────────────────────────────────────────────────────────

    def opened(self, stream: WatchedStream) -> None:
        """A stream is about to be read."""
        known, settings, request = self._known, self._known.settings, stream.request
        self._open = [each for each in self._open if each.gone_at is None]
        self._open.append(stream)
        known.streams.append(stream)
        self.bills.opened(stream)
        if known.tells_again(stream):
            known.again.add(stream)
        if request.purpose is Purpose.PREFETCH:
            there = [s for s in self._open if s.request.purpose is Purpose.PREFETCH]
            if len(there) > settings.max_speculations:
                most = f"max_speculations is {settings.max_speculations}"
                known.broke("G3", f"{len(there)} speculations are open at once, and {most}")
            if self._off and known.session.intensity is Intensity.OFF:
                known.broke("G3", f"{stream} is prepared ahead, though nothing is to be")
            self._budget()
            self._teardown(stream)
        else:
            self._patience(stream)
        self._memory(stream, str(asked(request).get("memory", "")))
        self._versions(stream, asked(request).get("again", ()))

    def took(self, number: int, happening: Happening | None) -> None:
        """An input has been handed on."""
        changes, at = self._known.changes, self._known.now()
        if happening is not None:
            self._fresh.append(happening)
        if number in changes.unexpected:
            self._changed[number] = at
        self._alone = at if changes.clear and self._alone is None else -1.0

    def resume(self, session: Session[Any], lost: Mapping[str, Any]) -> None:
        """The process is gone, and its streams."""
        self.bills.resume(session, lost)
        self._first = len(self._known.streams)
        self._open.clear()
        self._fresh.clear()
        self._changed.clear()
        self._off = self._known.settings.intensity is Intensity.OFF

    # ── what must hold ────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """After a step."""
        known = self._known
        live = known.session.generations.live if self._open else ()
        wanted = {id(each.request): each for each in live}
        for stream in self._open:
            if stream.read_after_close:
                known.broke("G4", f"{stream} was read after its end")
            if stream.opened_at is None:
                continue
            generation = wanted.get(id(stream.request))
            if stream.closed_at is None:
                if generation is None or not generation.alive:
                    known.broke("G4", f"{stream} is still open, and nobody wants it")
                elif self._outdated(stream):
                    known.broke("G4", f"{stream} of a turn that is over is still open")
                elif why := self._untrue_now(stream):
                    known.broke("G1", f"{stream} runs on, though {why}")
            elif stream.closed_at == self._alone and self._interrupted(stream):
                known.broke("G1", f"{stream} was closed by a change of nothing it speaks of")
        self._player_first()
        self._budget()
        self._changed.clear()
        self._fresh.clear()
        self._alone, self._checked = None, known.now()
        self._off = known.session.intensity is Intensity.OFF

    def finish(self) -> None:
        """After the end."""
        known = self._known
        if left := [stream for stream in known.streams if stream.gone_at is None]:
            known.broke("G4", f"left open: {left}")
        if known.session.generations.live:
            known.broke("G4", f"left behind: {known.session.generations.live}")
        if again := [stream for stream in known.streams if stream.read_after_close]:
            known.broke("G4", f"read after its end: {again[0]}")
        if self.bills.whole and (what := self.bills.wrong(known.session.report())):
            known.broke("G2", what)

    def _budget(self) -> None:
        cap = self._known.settings.max_prefetch_tokens
        if cap is not None and (what := self.bills.over_budget(cap)):
            self._known.broke("G3", what)

    def _teardown(self, stream: WatchedStream) -> None:
        """What takes its place waits until the one before is gone, but not for ever."""
        known, slot = self._known, _slot(stream)
        for each in self._open:
            if slot and _slot(each) == slot and each.closed_at is not None and each is not stream:
                waited = known.now() - each.closed_at
                if waited < known.settings.teardown_limit - EPSILON and not known.told_from(each):
                    known.broke("G4", f"{stream} was opened before {each} was gone")

    def _patience(self, stream: WatchedStream) -> None:
        """What a server refuses for so many seconds is not asked for again before."""
        known, deeds = self._known, set(map(deed_of, entries_of(stream)))
        for before in known.streams[self._first : -1]:
            error, refused = before.error, before.closed_at
            if not isinstance(error, ModelOverloaded) or refused is None or not deeds:
                continue
            if before.request.purpose is Purpose.PREFETCH or before.text:
                continue
            same = deeds == set(map(deed_of, entries_of(before)))
            waited = known.now() - refused
            if same and waited < (error.retry_after or 0.0) - EPSILON and known.one_since(before):
                known.broke("G2", f"{stream} was asked for {waited:g} s after {before}: {error}")

    def _memory(self, stream: WatchedStream, memory: str) -> None:
        known = self._known
        settings = known.settings
        earlier, *rest = memory.split("\n", 1) if memory.startswith(EARLIER) else ("", memory)
        memory = "".join(rest)
        self._summary(stream, earlier)
        self._remembered = max(self._remembered, settings.memory_tokens)
        waited = stream.request.purpose is Purpose.PREFETCH
        most = (self._remembered if waited else settings.memory_tokens) * CHARS_PER_TOKEN
        if len(memory.replace("\n", "")) > most:
            known.broke("G3", f"a prompt remembers {len(memory)} characters, more than {most}")
        if memory:
            # A speculation may have waited since before something was told again.
            to, place = asked(stream.request).get("to", ()), known.place_of(stream)
            told = known.memory(to, any_version=waited, before=place)
            for line in memory.splitlines():
                if not any(line in each.text for each in told):
                    what = "a prompt remembers what not all have seen, is undone, was told anew"
                    known.broke("G7", f"{what}, or comes later: {line!r}")

    def _summary(self, stream: WatchedStream, earlier: str) -> None:
        """What a summary was made of everybody has seen, and it stands."""
        known, place = self._known, self._known.place_of(stream)
        most = known.settings.summary_tokens * CHARS_PER_TOKEN
        summed = earlier.removeprefix(EARLIER)
        waited = stream.request.purpose is Purpose.PREFETCH  # since before that was changed
        if len(summed) > most and not waited:
            known.broke("G3", f"a summary has {len(summed)} characters, more than {most}")
        told = known.memory((), any_version=True, before=place) if summed else []
        for mark in marks(summed):
            if not any(mark in each.text for each in told):
                what = "a summary tells what not all have seen, is undone, or comes later"
                known.broke("G7", f"{what}: {mark}")

    def _versions(self, stream: WatchedStream, texts: Sequence[str]) -> None:
        """What is told again is told with what stands of its earlier tellings in mind."""
        known = self._known
        told = known.versions(known.place_of(stream)) if texts else []
        for text in texts:
            if not any(each.text.startswith(text) for each in told):
                what = "a retelling knows a version that is undone, or of something else"
                known.broke("G7", f"{what}: {text!r}")

    def _untrue_now(self, stream: WatchedStream) -> str | None:
        if not self._changed:
            return None
        known, entries = self._known, entries_of(stream)
        if stream in known.again:
            return None
        since = asked(stream.request).get("known", 0)
        happened = stream.request.purpose is not Purpose.PREFETCH or known.wanted(stream)
        for number, at in self._changed.items():
            if number <= since or (stream.opened_at or 0.0) > at:
                continue
            what = known.changes.unexpected[number]
            for entry in entries:
                doubtful = doubts(what, entry, entries, happened)
                if doubtful and not known.bound(stream, at) and not known.restless(stream):
                    return f"input {number} changed {sorted(doubtful)}"
        return None

    def _interrupted(self, stream: WatchedStream) -> bool:
        """Whether a state, and that alone, has closed it, though nothing it speaks of changed."""
        opened, closed = stream.opened_at or 0.0, stream.closed_at or 0.0
        if stream in self._known.again:
            return False
        if stream.finished or not opened < closed != self._checked:
            return False
        known, entries = self._known, entries_of(stream)
        if known.changes.clear is None or not (entries and known.settings.quiet):
            return known.changes.calm  # else another plan may have closed it in the same instant
        what, named = known.changes.clear
        if any(what & {*speaks_of(entry, entries), *entry["aims"]} for entry in entries):
            return False
        return named is None or all(
            (named.actor, named.name, named.targets)
            == (entry["actor"], entry["action"], tuple(entry["aims"][1:]))
            for entry in entries
        )

    def _outdated(self, stream: WatchedStream) -> bool:
        known, about = self._known, asked(stream.request)
        if stream.request.purpose is not Purpose.PREFETCH or not about or not known.changes.sure:
            return False
        if stream in known.again:
            adopted = any(each.again for each in known.under_way.values())
            usual = any(isinstance(event, Retell) for _, event, _ in known.taken)
            since = known.changes.happened if usual else known.changes.moved
            return since > about["known"] and not adopted
        return about["turn"] != known.changes.turn and not known.wanted(stream)

    def _player_first(self) -> None:
        """What nothing is told before is asked for, or told, in the same instant (G5)."""
        known = self._known
        first = self._fresh[0] if self._fresh else None
        if first is None or first.cancelled or next(iter(known.under_way), None) != first.number:
            return
        if any(first.number in told.outcomes for told in known.heard()):
            return
        if not (known.streams and asked(known.streams[0].request)):
            return  # which stream is whose, only stamps can tell
        for stream in reversed(known.streams):
            closed = stream.closed_at is None or stream.closed_at >= first.at - EPSILON
            closed = closed or known.passed is not None  # it may wait for the guard
            if stream.opened_at is not None and closed:
                if first.again is not None and stream in known.again:
                    return
                if stream.request.purpose is Purpose.REFINE and stream.opened_at >= first.at:
                    return  # which of the prepared texts is true of it
                for entry in entries_of(stream):
                    if (entry["actor"], entry["action"]) == (first.actor, first.action):
                        return
        if known.now() <= first.at + EPSILON and not known.late(first):
            known.broke("G5", f"outcome {first.number} waits, and no request was made for it")


def _slot(stream: WatchedStream) -> tuple[Any, ...] | None:
    """The place in the plan that a speculation is for."""
    entries, about = entries_of(stream), asked(stream.request)
    if stream.request.purpose is not Purpose.PREFETCH or len(entries) != 1 or about.get("again"):
        return None
    [entry] = entries
    return about["turn"], *deed_of(entry), entry["aims"], entry["result"]
