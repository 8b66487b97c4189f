"""What a viewer was shown, put together from events alone."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from ..operators.narrative import Ended, Narrative, Patched, Started, Status
from ..operators.partials import Patch

__all__ = ["Shown", "Told"]

Breaks = Callable[[str, str], None]
"""Told the guarantee and what broke it."""


@dataclass(slots=True)
class Told:
    """One telling, as far as it was shown.

    ``began`` is when it was announced, ``first`` when, and after which input, its text began.
    """

    id: str
    to: tuple[str, ...]
    text: str = ""
    value: Any = field(default_factory=dict)
    done: set[tuple[Any, ...]] = field(default_factory=set)
    began: float | None = None
    first: tuple[float, int] | None = None
    outcomes: tuple[int, ...] = ()
    retells: str | None = None
    end: Ended | None = None
    ended_at: float | None = None
    upto: dict[str, int] = field(default_factory=dict)

    def seen_by(self, viewer: str | None) -> str:
        """Its text as this viewer saw it."""
        upto, text = self.upto, self.text
        return text[: upto.get(viewer or "", upto.get("", len(text)))] if upto else text

    @property
    def whole(self) -> bool:
        """Whether it came to its own end."""
        return self.end is not None and self.end.status is Status.DONE

    def delivered(self, viewer: str, upto: int) -> None:
        """A viewer has come so far."""
        self.upto[viewer] = max(0, min(upto, len(self.text)))


class Shown:
    """The tellings of one subscriber; partials only grow (G6)."""

    def __init__(self, breaks: Breaks) -> None:
        self.tellings: dict[str, Told] = {}
        self._breaks = breaks

    def take(self, event: Narrative) -> Told:
        """The next event; returns its telling."""
        telling = self.tellings.get(event.telling)
        if telling is None:
            telling = self.tellings[event.telling] = Told(event.telling, event.to)
        if telling.end is not None:
            self._breaks("G2", f"{event.telling} goes on after its end")
        match event:
            case Started():
                telling.outcomes, telling.retells = event.outcomes, event.retells
            case Patched():
                telling.text += event.text
                for patch in event.patches:
                    self._grow(telling, patch)
            case Ended():
                telling.outcomes, telling.end = event.outcomes, event
                telling.retells = event.retells
                if telling.value != event.value:
                    self._breaks(
                        "G6",
                        f"the patches of {event.telling} make {telling.value!r}, and it ended as "
                        f"{event.value!r}",
                    )
        return telling

    def _grow(self, telling: Told, patch: Patch) -> None:
        path, op, value = patch
        if telling.done and any(path[:n] in telling.done for n in range(len(path) + 1)):
            self._breaks("G6", f"{telling.id}: {patch} changes what was marked done")
        elif op == "done":
            telling.done.add(path)
        elif not path:
            if telling.value:
                self._breaks("G6", f"{telling.id}: {patch} sets all anew")
            telling.value = _copied(value)
        else:
            try:
                wrong = _put(telling.value, path, op, _copied(value))
            except (KeyError, IndexError, TypeError) as error:
                wrong = f"it has no place: {error!r}"
            if wrong:
                self._breaks("G6", f"{telling.id}: {patch}: {wrong}")

    def text(self, viewer: str | None) -> str:
        """All that this viewer saw, one telling a paragraph."""
        shown = [
            telling.seen_by(viewer)
            for telling in self.tellings.values()
            if viewer is None or not telling.to or viewer in telling.to
        ]
        return "\n\n".join(text for text in shown if text)

    def memory(self, stands: Callable[[int], bool], *, any_version: bool = False) -> list[Told]:
        """What a prompt may remember for who saw it: of all that stands, the last whole telling.

        :param stands: whether an input, by its number, has not been undone.
        :param any_version: also the tellings in whose place others stand.
        """
        if any_version:
            return [told for told in self.tellings.values() if all(map(stands, told.outcomes))]
        versions: dict[str, Told] = {}
        for telling in self.tellings.values():
            if not all(map(stands, telling.outcomes)):
                continue
            place = telling.retells or telling.id
            if telling.retells is None or (
                telling.whole and (place in versions or place not in self.tellings)
            ):  # what a kill has left untold is told for the first time in a retelling
                versions[place] = telling
        return [*versions.values()]


def _copied(value: Any) -> Any:
    """The same; later patches change what they find in place."""
    if isinstance(value, (dict, list)):
        return deepcopy(value) if value else value.copy()
    return value


def _put(value: Any, path: tuple[Any, ...], op: str, new: Any) -> str | None:
    for key in path[:-1]:
        value = value[key]
    key = path[-1]
    if op == "append":
        if not isinstance(value[key], str):
            return "only text grows"
        value[key] += new
    elif isinstance(value, list):
        if key != len(value):
            return "a list grows at its end"
        value.append(new)
    elif key in value:
        return "it was set before"
    else:
        value[key] = new
    return None
