"""Objects one after another, read as one list: what stands between two may be one that is broken.

Null stands for it. If it is still open where an object begins, that object lies in it, and all is
passed over up to its end; but not an object that begins a line where the next is expected.

A list that lies in a broken one before the first is set aside: it is the value if nothing else is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .partial_patches import Patch

if TYPE_CHECKING:
    from .partial_machine import Machine

__all__ = ["Aside", "Broken", "begin", "ended", "next_object", "set_aside", "within"]

BROKEN = re.compile(  # a line of an object
    r'(?:\A|\n)(?:[ \t,;\[]*+(\{)|[ \t]*+[^"\n]{0,3}("?"[^"\n]{0,64}"[ \t]*+:))'
)
BEGUN = re.compile(r"(?:\A|\n)([ \t,;\[]*+)(?=\{)")
NEXT_BEGUN = re.compile(r"([ \t,;]*+)(?=\{)")
OVER = re.compile(r"[ \t]*+[,;\]]?[ \t]*+(?:[{\n]|\Z)")
AROUND = " \t\n\r,;]`"
PARTS = re.compile(r'"(?:[^"\\\n]++|\\.)*+["\n]?|[\[\]{}]')
BRACKETS = re.compile(r"[\[\]{}]")
QUOTED = re.compile(r'"(?:[^"\\]++|\\.)*+"')
LINE_ENDS = re.compile(r"\}[ \t,;]*+(?:\n|\Z)")
NAMED = re.compile(r"""["']\s*:\s*\Z""")
CLOSES = re.compile(r"\s*\}")
PART = re.compile(r'[^"\[\]{}\n]*+')
TEXT = re.compile(r'(?:[^"\\\n]++|\\.)*+')
NEXT = re.compile(r'([ \t]*+)\{\s*+"')
NEXT_CUT = re.compile(r"[ \t]*+(?:\{\s*+)?")
BULLET = r"(?:([-*+•]|[0-9]{1,4}[.):])[ \t]{1,64}+)?"
LINE_START = re.compile(rf"([ \t]{{0,64}}){BULLET}")
WIDEST = 64  # so far a line may be indented, and so many blanks may follow its bracket


@dataclass(slots=True)
class Broken:
    """An object that cannot be read, as far as it has come."""

    indent: int
    open: list[str] = field(default_factory=lambda: ["{"])
    last: str = "{"  # what is no blank
    in_string: bool = False

    def read(self, part: str) -> None:
        """One of its brackets; of those that do not match, a brace closes what is in it."""
        if part in "[{":
            self.open.append(part)
        elif part == "}":
            while self.open and self.open.pop() != "{":
                pass
        elif self.open[-1] == "[":
            self.open.pop()

    def ends_before_line(self, indent: int) -> bool:
        """Whether an object that begins the next line, so far in, is not in it but the next."""
        if indent > self.indent or self.last in "[{(:":
            return False
        return self.last != "," or "[" not in self.open


@dataclass(slots=True)
class Aside:
    """Objects that cannot be read, before the first that can: where they and a list in them begin.

    ``parts`` of the prose have been looked at for them.
    """

    begins: int
    list_at: int
    parts: int = 0


def set_aside(m: Machine, text: str, pos: int) -> bool:
    """Whether the list at ``pos`` lies in an object that cannot be read: then on to its end."""
    aside = m._aside
    before = "".join(m._prose)[m._thought :] if aside is None else "".join(m._prose[aside.parts :])
    if not before.rstrip().endswith(":"):
        return False
    at, broken = _broken_in(before)
    if broken is None:
        at, broken = _unbegun(before)
        if broken is None:
            return False
    broken.last = ":"
    m._broken_object = broken
    if aside is None:
        list_at = m._where(text, pos)
        m._aside = Aside(list_at - len(before) + at, list_at)
    m._go("within")
    return True


def begin(m: Machine) -> None:
    """What stands before the first object: null for those that were passed over."""
    if m._aside is None:
        m._passed = ["".join(m._prose)[m._thought :]]
    else:
        m._passed = m._prose[m._aside.parts :]
        _null(m, m._aside.begins)


def next_object(m: Machine, text: str, pos: int) -> int:
    """The object at ``pos``, unless it lies in one that cannot be read."""
    passed, broken = ended(m, text, pos)
    line, after_line, before = passed.rpartition("\n")
    if broken is not None:
        broken.last = line.rstrip()[-1:] or broken.last
        if not after_line or before.strip(" \t") or not broken.ends_before_line(len(before)):
            m._broken_object = broken
            m._go("within")
            return pos
    m._doubt = CLOSES if NAMED.search(passed[-WIDEST:]) else None
    if after_line or len(m._box) == 0:
        start = LINE_START.fullmatch(before)
        m._margin = "" if start is None else margin(len(start[1]), bullet=start[2] is not None)
    return m._open(m._place_path(), text, pos)


def margin(indent: int, *, bullet: bool) -> str:
    """What may stand before the next of such objects on its line: it is no further in."""
    return rf"[ \t]{{0,{indent}}}{BULLET if bullet else ''}"


def ended(m: Machine, text: str, pos: int) -> tuple[str, Broken | None]:
    """Null for an object that cannot be read, before ``pos``; and that, if it is not at its end."""
    passed = "".join(m._passed)
    m._passed.clear()
    begins = m._where(text, pos) - len(passed)
    if m._doubt is not None and m._doubt.match(passed):
        m._lose((len(m._box) - 1,), "it lies in an object whose beginning cannot be read", begins)
    m._doubt = None
    if not ("{" in passed or '"' in passed):
        return passed, None
    at, broken = _broken_in(passed)
    if broken is None and (unbegun := _unbegun(passed))[1] is not None:
        at, broken = unbegun if at < 0 else (at, unbegun[1])
    elif (found := BROKEN.search(passed)) and (
        passed.rstrip(AROUND).endswith("}") or (m._box and LINE_ENDS.search(passed, found.end()))
    ):
        at = found.start(found.lastindex or 0)
    elif broken is None and not m._box:
        at = -1  # before the first one it may be prose
    if at >= 0:
        _null(m, begins + at)
    return passed, broken


def _null(m: Machine, position: int) -> None:
    path = m._place_path()
    m._lose(path, "no JSON object", position)
    m._place(None)
    m._patches.append(Patch(path, "set", None))


def _broken_in(passed: str) -> tuple[int, Broken | None]:
    """Where lines of objects begin that cannot be read, and the last one, if it does not end."""
    parts = BRACKETS if passed.count('"') % 2 else PARTS
    first, begun = -1, BEGUN.search(passed)
    while begun:
        at = begun.end()
        indent = len(begun[1]) if begun[0][:1] == "\n" else 0
        broken = Broken(min(indent, WIDEST))
        for part in parts.finditer(passed, at + 1):
            if part[0][0] != '"':
                broken.read(part[0])
            if not broken.open:
                break
        else:
            return at if first < 0 else first, broken
        if first < 0 and OVER.match(passed, part.end()):
            first = at
        begun = NEXT_BEGUN.match(passed, part.end()) or BEGUN.search(passed, part.end())
    return first, None


def _unbegun(passed: str) -> tuple[int, Broken | None]:
    """Where a line begins that is of an object without its bracket, up to the value of a name."""
    line = passed.rpartition("\n")[2]
    before = line.rstrip(" \t[")
    named = BROKEN.match(before)  # one name alone may be that of the list that is wanted
    if not (named and before.endswith(":") and "," in before[named.end() :]):
        return -1, None
    if BRACKETS.search(QUOTED.sub("", before)):
        return -1, None
    return len(passed) - len(line), Broken(0, ["{", *"[" * line.count("[", len(before))])


def within(m: Machine, text: str, pos: int) -> int:
    """On to the end of an object that cannot be read, or to the next, which begins a line."""
    end = _within(m, text, pos)
    if not m._in_series and m._aside is not None:
        m._prose.append(text[pos : end - len(m._held)])
        m._aside.parts = len(m._prose)
    return end


def _within(m: Machine, text: str, pos: int) -> int:
    broken = m._broken_object
    assert broken is not None
    while True:
        plain = TEXT if broken.in_string else PART
        end = plain.match(text, pos).end()  # type: ignore[union-attr]
        broken.last = text[pos:end].rstrip()[-1:] or broken.last
        char = text[end : end + 1]
        if not char:
            return end
        pos = end + 1
        if char == "\n":
            broken.in_string = False
            rest = text[pos : pos + 2 * WIDEST]
            if found := NEXT.match(rest):
                if broken.ends_before_line(len(found[1])):
                    m._go("before")
                    return pos
            elif NEXT_CUT.fullmatch(rest) and len(rest) < 2 * WIDEST and not m._ended:
                return m._hold(text, end)
        elif char == "\\":
            if pos == len(text) and not m._ended:
                return m._hold(text, end)
        elif char == '"':
            broken.in_string = not broken.in_string
            broken.last = char
        else:
            broken.read(char)
            broken.last = char
            if not broken.open:
                m._go("before")
                return pos
