"""What each viewer has seen."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["Seen", "Transcript"]

CHARS_PER_TOKEN = 4


@dataclass(slots=True)
class Seen:
    """One telling as it was shown: its text so far, and its viewers (all, if ``to`` is empty)."""

    telling: str
    to: tuple[str, ...]
    t: float
    text: str = ""
    ended: bool = False
    upto: dict[str, int] = field(default_factory=dict)

    def for_viewer(self, viewer: str | None) -> str:
        """The text as this viewer saw it: up to what was reported delivered, if anything was.

        What was reported for no viewer by name holds for all of whom nothing else is known.
        """
        return self.text[: self.upto.get(viewer or "", self.upto.get("", len(self.text)))]


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
    not appear.
    """

    def __init__(self, most: int = 1000) -> None:
        self._seen: deque[Seen] = deque(maxlen=most)
        self._by_id: dict[str, Seen] = {}

    def on_event(self, event: _Event) -> None:
        """Take in an event of the narrative."""
        seen = self._by_id.get(event.telling)
        if seen is None:
            seen = self._keep(Seen(event.telling, event.to, event.t))
        if hasattr(event, "status"):
            seen.ended = True
        else:
            seen.text += getattr(event, "text", "")

    def restore(self, line: Mapping[str, Any]) -> None:
        """Take in a recording's ``~telling``, ``~text`` and ``~told`` lines."""
        seen = self._by_id.get(line["telling"])
        if seen is None:
            seen = self._keep(Seen(line["telling"], tuple(line.get("to", ())), line["t"]))
        if line["kind"] == "~text":
            seen.text += line["text"]
        elif line["kind"] == "~told":
            seen.text, seen.ended = line["text"], True

    def _keep(self, seen: Seen) -> Seen:
        if len(self._seen) == self._seen.maxlen:
            self._by_id.pop(self._seen[0].telling, None)
        self._by_id[seen.telling] = seen
        self._seen.append(seen)
        return seen

    def delivered(self, telling: str, viewer: str, upto: int) -> None:
        """A viewer has read ``upto`` characters of a telling; it heard no more if it was cut."""
        seen = self._by_id.get(telling)
        if seen is not None:
            seen.upto[viewer] = max(0, min(upto, len(seen.text)))

    def tellings(self, viewer: str | None = None) -> list[Seen]:
        """What a viewer may see (all of it for ``None``), oldest first."""
        return [seen for seen in self._seen if viewer is None or not seen.to or viewer in seen.to]

    def text(self, viewer: str | None = None) -> str:
        """The whole transcript of a viewer, one telling a paragraph."""
        shown = (seen.for_viewer(viewer) for seen in self.tellings(viewer))
        return "\n\n".join(text for text in shown if text)

    def memory(self, tokens: int, audience: tuple[str, ...] = ()) -> str:
        """The end of what everybody in ``audience`` has seen, about ``tokens`` long at the most.

        With no audience named the text goes to all, so only what all have seen may enter it.
        """
        left, kept = tokens * CHARS_PER_TOKEN, []
        for seen in reversed(self._seen):
            known = not seen.to or (audience and set(audience) <= set(seen.to))
            if not known or not seen.text:
                continue
            readers = [each for each in seen.upto if not audience or each in ("", *audience)]
            text = seen.text[: min((seen.upto[each] for each in readers), default=None)]
            if len(text) > left:
                kept.append(text[len(text) - left :].partition(" ")[2])  # whole words
                break
            left -= len(text)
            kept.append(text)
        return "\n".join(text for text in reversed(kept) if text)
