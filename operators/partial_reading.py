"""What a reader of streaming JSON has read so far, and how that is kept."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from .partial_patches import MISSING, Patch, Path
from .partial_text import OPENING

if TYPE_CHECKING:
    from .partial_series import Aside, Broken

__all__ = ["Expect", "Reading", "Step"]

Expect = Literal["object", "array", "any"]
PIECE = 2048  # pieces of kept text so long stay as they are
MOST_LOST = 100  # so many lost places are named, however long the text


class Step(NamedTuple):
    """A state, and the pattern of what regularly comes next in it, where there is one."""

    read: Callable[[Any, str, int], int]
    regular: Callable[[str, int], Any] | None = None


class Reading:
    """What has been read."""

    _steps: ClassVar[dict[str, Step]] = {}
    _step: Step
    _back: Step
    _read_scalar: Callable[[str], Any]
    __slots__ = (
        "_after_comma",
        "_aside",
        "_at",
        "_back",
        "_box",
        "_broken",
        "_broken_object",
        "_closed_early",
        "_closers",
        "_complete",
        "_doubt",
        "_dropped",
        "_end",
        "_ended",
        "_expect",
        "_flaw",
        "_gap",
        "_held",
        "_in_series",
        "_in_string",
        "_lost",
        "_margin",
        "_mark",
        "_max_depth",
        "_max_length",
        "_name",
        "_notes",
        "_opening",
        "_out",
        "_packed",
        "_parts",
        "_passed",
        "_patches",
        "_path",
        "_position",
        "_prose",
        "_quote",
        "_read_scalar",
        "_room",
        "_root",
        "_stack",
        "_step",
        "_stopped",
        "_strict",
        "_tail",
        "_tail_at",
        "_thought",
        "_token",
        "_until",
    )

    def __init__(self, *, strict: bool, expect: Expect, max_depth: int, max_length: int) -> None:
        self._strict = strict
        self._expect = expect
        self._opening = OPENING[expect]
        self._max_depth = max_depth
        self._max_length = max_length
        self._root: Any = MISSING
        self._box: Any = MISSING
        self._path: Path = ()
        self._stack: list[tuple[Any, Path]] = []
        self._name = ""
        self._at: Path = ()
        self._patches: list[Patch] = []
        self._in_string = False
        self._closers = '"'
        self._quote = ""  # what ends the fast path of `feed`; "" is in every text
        self._parts: list[str] = []  # of a string that grows; else text held back
        self._token: list[str] = []  # of a name or a scalar
        self._held = ""  # text to be read again with what comes next
        self._prose: list[str] = []  # the text before the value
        self._passed: list[str] = []  # the text after the last of objects one after another
        self._tail: list[str] = []  # the text from where reading stopped
        self._packed = 0  # so far in the text small pieces of all these were put together
        self._tail_at = 0
        self._broken = ""  # why reading stopped there
        self._after_comma = False
        self._gap = 0  # before what comes: 1 a blank or comment, 2 or more a new line, so far in
        self._in_series = False  # objects one after another, taken for one list
        self._margin = ""  # what may stand before the next of them on its line
        self._broken_object: Broken | None = None  # of objects one after another
        self._aside: Aside | None = None  # before the first of them
        self._doubt: re.Pattern[str] | None = None  # what shows that the value lies in another
        self._mark: tuple[int, str] | None = None  # the first in a sentence, and where
        self._thought = 0  # so many characters of the prose were thought aloud
        self._out: list[Patch] = []  # what `feed` returns, while a value is dropped
        self._dropped: int | None = None  # how deep the value is that is read for nothing
        self._room = 0  # characters until the parts are folded and the limits looked at
        self._until = 0  # where in the input that will be
        self._flaw: str | None = None
        self._position: int | None = None
        self._notes: dict[str, int] = {}
        self._lost: dict[Path, str] = {}
        self._complete = False
        self._closed_early = ""  # what shows that a bracket closed the value before its time
        self._end: int | None = None  # where the value ended, if something follows it
        self._stopped = False
        self._ended = False  # no more comes: nothing is held back

    def _place_path(self) -> Path:
        return (*self._path, len(self._box) if type(self._box) is list else self._name)

    def _place(self, value: Any) -> None:
        if type(self._box) is list:
            self._box.append(value)
        else:
            self._box[self._name] = value

    def _fold(self) -> None:
        """Put the parts of the growing string into the value.

        The box lets go of the string first, so that it grows in place if nobody else holds it.
        """
        if self._in_string and self._parts:
            box, last = self._box, self._at[-1]
            text = box[last]
            box[last] = None
            text += "".join(self._parts)
            box[last] = text
            self._parts.clear()

    def _pack(self) -> None:
        """Put small pieces of kept text together: one by one they take many times its room."""
        for pieces in (self._passed, self._tail, self._token):
            _put_together(pieces, 0, len(pieces))
        looked_at = 0 if self._aside is None else self._aside.parts
        _put_together(self._prose, looked_at, len(self._prose))
        if self._aside is not None:
            self._aside.parts = _put_together(self._prose, 0, looked_at)

    def _hold(self, text: str, pos: int) -> int:
        """Read the text from ``pos`` on again when more of it is there."""
        self._held = text[pos:]
        return len(text)

    def _where(self, text: str, pos: int) -> int:
        return self._until - self._room - len(text) + pos

    def _note(self, what: str, text: str, pos: int) -> None:
        """The first of a kind is noted: their number is bounded, however long the text."""
        if what not in self._notes:
            self._notes[what] = self._where(text, pos)

    def _spoil(self, reason: str, position: int | None = None) -> None:
        """Something that was sent is lost; reading goes on."""
        if self._flaw is None:
            self._flaw, self._position = reason, position

    def _lose(self, path: Path, reason: str, position: int) -> None:
        """What stands at ``path`` is lost, and named; reading goes on."""
        self._spoil(f"{reason} (character {position})", position)
        if self._dropped is None and len(self._lost) < MOST_LOST:
            self._lost[path] = reason
            place = ".".join(str(step)[:40] for step in path) or "the value"
            self._notes[f"lost at {place}: {reason}"] = position

    def _read_on(self, text: str, pos: int) -> None:
        raise NotImplementedError

    def _go(self, name: str) -> None:
        self._step = self._steps[name]

    def _unexpected(self, wanted: str, text: str, pos: int) -> int:
        return self._stop(f"{text[pos]!r} where {wanted} belongs", text, pos)

    def _stop(self, reason: str, text: str, pos: int) -> int:
        """Read nothing more; what has been read stays."""
        where = self._where(text, pos)
        self._spoil(f"{reason} (character {where})", where)
        self._stopped = True
        self._broken, self._back = reason, self._step
        self._quote = ""
        self._go("nothing")
        if not self._strict:
            self._tail_at = where
            self._tail.append(text[pos:])
        return len(text)


def _put_together(pieces: list[str], first: int, end: int) -> int:
    """The small ones before ``end`` become one; returns where they end then."""
    at = end
    while at > first and len(pieces[at - 1]) < PIECE:
        at -= 1
    if end - at > 1:
        pieces[at:end] = ["".join(pieces[at:end])]
    return min(end, at + 1)
