"""What each viewer has seen."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import dropwhile, islice
from typing import Any, Protocol

__all__ = ["Seen", "Transcript"]

CHARS_PER_TOKEN = 4


@dataclass(slots=True)
class Seen:
    """One telling as it was shown: its text so far, and its viewers (all, if ``to`` is empty).

    ``outcomes`` are the inputs it answers. ``whole`` is true of one that came to its own end.
    ``undone`` is true while a rewind has undone what it tells: viewers saw it, but nothing that is
    told now may know of it. ``retells`` is the telling that this one tells again, if it does.
    ``number`` counts the tellings from 1.
    """

    telling: str
    to: tuple[str, ...]
    t: float
    text: str = ""
    ended: bool = False
    upto: dict[str, int] = field(default_factory=dict)
    outcomes: tuple[int, ...] = ()
    whole: bool = False
    undone: bool = False
    retells: str | None = None
    number: int = 0

    def for_viewer(self, viewer: str | None) -> str:
        """The text as this viewer saw it: up to what was reported delivered, if anything was.

        What was reported for no viewer by name holds for all of whom nothing else is known.
        """
        upto, text = self.upto, self.text
        return text[: upto.get(viewer or "", upto.get("", len(text)))] if upto else text


PAST = 3
"""So many earlier versions a retelling is shown."""
EARLY = 100
"""Of so many tellings that are not there it is kept how far they were delivered."""


class _Event(Protocol):
    @property
    def telling(self) -> str: ...
    @property
    def to(self) -> tuple[str, ...]: ...
    @property
    def t(self) -> float: ...


class Transcript:
    """Everything that was told, in order; the last ``most`` tellings are kept.

    An interrupted telling stays as far as it was delivered. What was prepared and never told does
    not appear. What a rewind has undone stays, for viewers saw it, marked so; and a retelling
    stands beside the first. :meth:`memory` is what the game as it stands may know: nothing undone,
    and of several tellings of one thing the last that is whole, in the place of the first.
    """

    def __init__(self, most: int = 1000) -> None:
        self._seen: deque[Seen] = deque(maxlen=most)
        self._by_id: dict[str, Seen] = {}
        self._early: dict[str, dict[str, int]] = {}
        self._of: dict[int, Seen] = {}
        self._again: dict[str, list[Seen]] = {}
        self._stands: Callable[[int], bool] = lambda number: True
        self._told = 0

    def on_event(self, event: _Event) -> None:
        """Take in an event of the narrative."""
        seen = self._by_id.get(event.telling)
        if seen is None:
            outcomes, retells = getattr(event, "outcomes", ()), getattr(event, "retells", None)
            seen = Seen(event.telling, event.to, event.t, outcomes=outcomes, retells=retells)
            self._keep(seen)
        self._answers(seen, getattr(event, "outcomes", seen.outcomes))
        status = getattr(event, "status", None)
        if status is not None:
            seen.ended, seen.whole = True, status == "done"
        else:
            seen.text += getattr(event, "text", "")

    def restore(self, line: Mapping[str, Any]) -> None:
        """Take in a recording's ``~telling``, ``~text`` and ``~told`` lines."""
        seen = self._by_id.get(line["telling"])
        if seen is None:
            outcomes, retells = tuple(line.get("outcomes", ())), line.get("retells")
            to = tuple(line.get("to", ()))
            seen = Seen(line["telling"], to, line["t"], outcomes=outcomes, retells=retells)
            self._keep(seen)
        self._answers(seen, tuple(line.get("outcomes", seen.outcomes)))
        if line["kind"] == "~text":
            seen.text += line["text"]
        elif line["kind"] == "~told":
            seen.text, seen.ended = line["text"], True
            seen.whole = line.get("status", "done") == "done"

    def _keep(self, seen: Seen) -> None:
        if len(self._seen) == self._seen.maxlen:
            self._forget(self._seen[0])
        self._told += 1
        seen.number = self._told
        seen.undone = not all(map(self._stands, seen.outcomes))
        seen.upto = self._early.pop(seen.telling, {})
        self._by_id[seen.telling] = seen
        self._of.update(dict.fromkeys(seen.outcomes, seen))
        if seen.retells is not None:
            self._again.setdefault(seen.retells, []).append(seen)
        self._seen.append(seen)

    def _answers(self, seen: Seen, outcomes: tuple[int, ...]) -> None:
        """What is left of those it began with: the others may be told by themselves."""
        if seen.outcomes != outcomes:
            seen.outcomes = outcomes
            seen.undone = not all(map(self._stands, outcomes))

    def _forget(self, seen: Seen) -> None:
        self._by_id.pop(seen.telling, None)
        self._again.pop(seen.telling, None)
        for number in seen.outcomes:
            self._of.pop(number, None)

    def rewound(self, stands: Callable[[int], bool]) -> None:
        """Mark what is undone, and what no longer is.

        :param stands: whether an input, named by its number, still does.
        """
        self._stands = stands
        for seen in self._seen:
            seen.undone = not all(map(stands, seen.outcomes))

    def of(self, outcome: int) -> Seen | None:
        """The telling that answers an input, if it has begun, and is kept."""
        return self._of.get(outcome)

    def versions(self, telling: str) -> tuple[str, ...]:
        """How a thing was told until now: the texts of a telling and of those in its place."""
        first = self._by_id.get(telling)
        known = [] if first is None else [first, *self._again.get(telling, ())]
        texts = [seen.text for seen in known if seen.text and not seen.undone]
        return tuple(texts[-PAST:])

    def retold(self, last: int) -> float:
        """The share of retellings in the last tellings, out of so many."""
        recent = islice(reversed(self._seen), last)
        return len([seen for seen in recent if seen.retells is not None]) / last

    def delivered(self, telling: str, viewer: str, upto: int) -> int | None:
        """A viewer has read ``upto`` characters of a telling; it heard no more if it was cut.

        It may stand before that text, if both are of one moment: it is kept as it was said.

        :returns: where not all viewers have heard as much of it as was thought, the input that it,
            or what it tells again, was told of first.
        """
        seen = self._by_id.get(telling)
        known = self._early.setdefault(telling, {}) if seen is None else seen.upto
        before = len(_heard(seen, ())) if seen is not None else 0
        known[viewer] = max(0, upto)
        if len(self._early) > EARLY:
            del self._early[next(iter(self._early))]
        if seen is None or len(_heard(seen, ())) >= before:
            return None
        first = self._by_id.get(seen.retells or telling, seen)
        return min(first.outcomes, default=None)

    def tellings(self, viewer: str | None = None) -> list[Seen]:
        """What a viewer may see (all of it for ``None``), oldest first."""
        return [seen for seen in self._seen if viewer is None or not seen.to or viewer in seen.to]

    def text(self, viewer: str | None = None) -> str:
        """The whole transcript of a viewer, one telling a paragraph."""
        shown = (seen.for_viewer(viewer) for seen in self.tellings(viewer))
        return "\n\n".join(text for text in shown if text)

    def memory(self, tokens: int, audience: tuple[str, ...] = (), before: str | None = None) -> str:
        """The end of what everybody in ``audience`` has seen, about ``tokens`` long at the most.

        With no audience named the text goes to all, so only what all have seen may enter it. Where
        it is not all of that, at least half of it is filled, and it begins with the telling there
        whose number more powers of two divide than any other's: so it keeps its beginning, which a
        server may have cached, while tellings are added at its end.

        :param before: only what was told before this telling.
        """
        left = room = tokens * CHARS_PER_TOKEN
        kept: list[str] = []
        starts: list[tuple[int, int]] = []
        told: Iterator[Seen] = reversed(self._seen)
        if before in self._by_id:
            told = islice(dropwhile(lambda seen: seen.telling != before, told), 1, None)
        for first in told:
            if first.undone or first.retells is not None:
                continue
            seen = self._last_version(first)
            known = not seen.to or (audience and set(audience) <= set(seen.to))
            if not known or not seen.text:
                continue
            text = _heard(seen, audience)
            if len(text) > left and starts:
                kept = kept[: max(starts)[1]]
                break
            if len(text) > left:
                kept.append(text[len(text) - left :].partition(" ")[2])  # whole words
                break
            left -= len(text)
            kept.append(text)
            if 2 * left <= room:
                starts.append((first.number & -first.number, len(kept)))
        return "\n".join(text for text in reversed(kept) if text)

    def since(self, outcome: int) -> tuple[list[str], int, int]:
        """What everybody was told of what happened after an outcome, named by its input.

        Only what is over by now, and nothing that is undone. With it come the last outcome of that,
        and the last input of all: of what was told again, that is when it was asked for.
        """
        found: list[tuple[str, int, int]] = []
        for first in reversed(self._seen):
            last = max(first.outcomes, default=0)
            if first.undone or first.retells is not None:
                continue
            if last <= outcome:
                break
            if not first.ended:
                found.clear()
                continue
            seen = self._last_version(first)
            if not seen.to:
                found.append((_heard(seen, ()), last, max(last, *seen.outcomes)))
        texts, upto, last = [text for text, *_ in reversed(found) if text], outcome, outcome
        for _, of, by in found:
            upto, last = max(upto, of), max(last, by)
        return texts, upto, last

    def _last_version(self, first: Seen) -> Seen:
        again = self._again.get(first.telling)
        if not again:
            return first
        return next((seen for seen in reversed(again) if seen.whole and not seen.undone), first)


def _heard(seen: Seen, audience: tuple[str, ...]) -> str:
    """What all of an audience have heard of a telling, or all viewers where none are named."""
    if not seen.upto:
        return seen.text
    readers = [each for each in seen.upto if not audience or each in ("", *audience)]
    return seen.text[: min((seen.upto[each] for each in readers), default=None)]
