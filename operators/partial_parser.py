"""JSON read as it streams: what is usable now, what was added, and what will not change."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import orjson

from . import partial_before as before
from . import partial_lone as lone
from . import partial_series as series
from .partial_fast import FastMachine
from .partial_machine import IGNORE, LONE
from .partial_patches import MISSING, Final, Note, Partial, Patch, Path, Progress, unended
from .partial_reading import Expect
from .partial_rescue import rescue, told
from .partial_resume import go_on
from .partial_text import HALF, OPENING, read_exactly

__all__ = ["PartialParser"]

DEEPEST = 512  # what writes or compares a value goes down with it, and Python has a limit


class PartialParser(FastMachine):
    """Reads one JSON value out of a model's answer, in one pass over its pieces.

    Strings grow by appending and are visible after every piece; numbers, booleans and null appear
    once, complete; what is done never changes. The finished value of JSON is what ``orjson`` reads
    (so an integer beyond 64 bits is a float). ``feed`` never raises for what a model sent.

    Unless told otherwise it is tolerant: it looks for an object or array in the text, mends what
    is certain, passes over the rest, and says so in ``notes``. Half a surrogate pair and bytes that
    are not UTF-8 become U+FFFD, of a name that comes twice in one object the first value stays, and
    a name without a value is left out, as is a word that is no value: then :meth:`finish` is
    partial. At anything else reading stops, and what there is stays usable; what follows is read
    at the end, as far as it is certain. ``docs/partials.md`` has the list.

    :param strict: take the whole text for one JSON value, and stop at the first character that
        makes it none.
    :param expect: what the value is; all before it is skipped (strict: refused). ``"array"`` takes
        objects one after another for the elements of one array.
    :param big_ints: keep integers beyond 64 bits exact; ``orjson`` makes floats of them, and cannot
        write them.
    :param max_depth: the most objects and arrays within each other; at most 512.
    :param max_length: the most characters to read, prose included.
    :raises ValueError: if one of these is none of what it can be.
    """

    core: ClassVar[Literal["Python", "C"]] = "Python"
    """What its fast paths are written in: C where Foretell was installed with the compiled core."""
    __slots__ = ("_result",)

    def __init__(
        self,
        *,
        strict: bool = False,
        expect: Expect = "any",
        big_ints: bool = False,
        max_depth: int = 256,
        max_length: int = 4 * 1024 * 1024,
    ) -> None:
        if expect not in OPENING:
            raise ValueError(f"expect is one of {', '.join(OPENING)}, not {expect!r}")
        for name, limit, most in (("depth", max_depth, DEEPEST), ("length", max_length, None)):
            if type(limit) is not int or limit < 0 or (most is not None and limit > most):
                upto = "" if most is None else f" to {most}"
                raise ValueError(f"max_{name} is a whole number from 0{upto}, not {limit!r}")
        super().__init__(strict=strict, expect=expect, max_depth=max_depth, max_length=max_length)
        self._read_scalar = read_exactly if big_ints else orjson.loads
        self._result: Final | Partial | None = None

    @property
    def value(self) -> Any:
        """What is usable now, or :data:`MISSING`; it grows in place, so do not change it.

        A look costs what came since the last one. Who keeps a growing string itself pays for a
        copy of it at the next look.
        """
        self._fold()
        return self._root

    @property
    def notes(self) -> tuple[Note, ...]:
        """What was mended or passed over so far: of each kind the first, in the text's order."""
        return tuple(sorted(Note(position, what) for what, position in self._notes.items()))

    @property
    def strict(self) -> bool:
        """Whether the whole text is to be one JSON value."""
        return self._strict

    @property
    def flaw(self) -> str | None:
        """What was lost so far, of what was sent, or why reading stopped; one line."""
        return self._flaw

    @property
    def lost(self) -> Mapping[Path, str]:
        """The places at which something was passed over that could not be read, and why.

        The first hundred. In a list null stands there, if nothing of the element could be read.
        """
        return MappingProxyType(self._lost)

    @property
    def doubtful(self) -> bool:
        """Whether the value is complete, and what follows may show that it lies in another one."""
        return self._complete and self._doubt is not None

    @property
    def raw_text(self) -> str:
        """The text before the value; all of the text, if there is no value in it."""
        return HALF.sub("\ufffd", self._before_value())

    def state(self, path: Path = ()) -> Progress:
        """How far the value at ``path`` is, a tuple of names and places."""
        if not isinstance(path, tuple):
            raise TypeError(f"a path is a tuple of names and places, not {path!r}")
        value = self._root
        for step in path:
            inside = (
                isinstance(step, int) and 0 <= step < len(value)
                if isinstance(value, list)
                else isinstance(value, dict) and step in value
            )
            if not inside:
                return Progress.ABSENT
            value = value[step]
        if value is MISSING:
            return Progress.ABSENT
        if not self._complete and self._growing()[: len(path)] == path:
            return Progress.GROWING
        return Progress.DONE

    def done(self, path: Path = ()) -> bool:
        """Whether the value at ``path`` is complete, and so will not change."""
        return self.state(path) is Progress.DONE

    def finish(self, *, reason: str | None = None) -> Final | Partial:
        """What there is, now that no more comes; what is fed afterwards is not read.

        :param reason: why there is no more, if the text is not at its end. Then what only its end
            completes is not complete: a number or a list that might go on.

        A text without object or array that as a whole is one JSON string, number, boolean or null
        is :class:`Final` with that, unless ``expect`` asks for another; only its end shows that it
        is one. If reading had to stop, and
        a later value in the text continues what was shown without contradiction, it is taken;
        else what follows the broken place, as far as it is certain.
        """
        if self._result is None:
            complete = self._complete
            self._result = self._finished()
            if reason is not None and not complete:
                self._result = unended(self._result, reason)
            self._step, self._quote = IGNORE, ""
        return self._result

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a PartialParser cannot be copied or pickled; feed another one")

    def _finished(self) -> Final | Partial:
        patches: list[Patch] = []
        rest = ""
        if (self._strict or self._root is MISSING) and not self._in_string:
            # Half a character is more than nothing: with it, a text is no lone number.
            rest = self._decoded(b"", last=True) + self._high
        self._read_rest(patches, rest)
        before.ended(self)
        lone.ended(self)
        if self._in_series and len(self._stack) == 1 and not self._stopped:
            series.ended(self, "", 0)
            patches.append(Patch((), "done", None))
            self._complete = True
        if self._root is MISSING and self._flaw is None:
            self._alone(patches)
        elif self._tail and self._root is not MISSING and not self._complete:
            rescue(self, patches)
            go_on(self, patches)
        notes, all_patches = self.notes, tuple(patches)
        if self._complete and self._flaw is None:
            if early := self._closed_early:
                return Partial(self.value, early, self._end, notes, all_patches)
            return Final(self.value, notes, all_patches)
        where = "in a string" if self._in_string else "before its end"
        return Partial(
            self.value, self._flaw or f"cut off {where}", self._position, notes, all_patches
        )

    def _alone(self, patches: list[Patch]) -> None:
        """A string or scalar that is the whole text, or all that a fence holds.

        Or a mark in a sentence, as ``[1]``, if no value came after it.
        """
        if self._mark is not None:
            at, mark = self._mark
            self._prose, self._held = [self._before_value()[:at]], ""
            value = orjson.loads(mark)
            self._root = [value] if mark[0] == "{" and self._expect == "array" else value
            self._complete = True
            self._notes["what stands within a sentence is the value"] = at
            patches += told(self._root)
            return
        text = self._before_value()[self._thought :]
        wanted = "object or array" if self._expect == "any" else self._expect
        none = f"no JSON {wanted} in the text"
        if bracket := self._opening.search(text):
            none += f": the bracket at character {bracket.start()} begins none"
        if self._expect != "any":
            self._flaw = none
            return
        try:
            value = self._read_scalar(text if self._strict else lone.unfenced(text))
        except orjson.JSONDecodeError:
            self._flaw = none
            if self._step is LONE:
                self._flaw, self._position = lone.refused(text)
        else:
            self._root, self._complete = value, True
            patches.append(Patch((), "set", value))
            if isinstance(value, str):
                patches.append(Patch((), "done", None))

    def _growing(self) -> Path:
        """The path of what is growing; what it lies in is growing too."""
        if self._dropped is not None:
            return self._stack[self._dropped - 1][1]
        return self._at if self._in_string else self._path

    def _before_value(self) -> str:
        held = self._held if self._root is MISSING else ""
        return "".join(self._prose) + held
