"""Where in what a model says the value begins, and whether it is the whole of it.

What a model thought aloud at first is passed over, and so are marks in a sentence that look like
values, as ``[1]`` and ``{}``. A value that lies in another one, whose beginning cannot be read, is
not the whole.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import partial_series as series
from .partial_kin import names_of
from .partial_patches import MISSING
from .partial_text import FULL, INDEX, NAME, NUMBER, OPENING, begin

if TYPE_CHECKING:
    from .partial_machine import Machine

__all__ = ["before", "closed_early", "doubted", "ended", "start", "thinking"]

BLANKS = re.compile(r"[\s\ufeff]*+")
TAGS = ("think", "thinking", "reasoning", "scratchpad")
TAG = re.compile(rf"<({'|'.join(TAGS)})>")
CUT = {f"<{tag}>"[:end] for tag in TAGS for end in range(1, len(tag) + 2)}
NEAR = 40  # so many characters before a bracket tell what it is
WORD_BEFORE = re.compile(r"(?<!`)[\w\])]\Z")
FENCE_BEFORE = re.compile(r"```[a-zA-Z]{0,31}[ \t]*\Z")
SENTENCE_BEFORE = re.compile(r"[^\s:=>(\ufeff][ \t]*\Z")
FEW_DIGITS = r"(?:0|[1-9][0-9]{0,2})"
NUMBERS = rf"{FEW_DIGITS}(?:, ?{FEW_DIGITS}){{0,7}}"
MARK = re.compile(rf"\[ ?(?:{NUMBERS} ?)?\]|\{{ ?\}}")
MARK_CUT = re.compile(rf"\[ ?(?:{NUMBERS}(?:,? )?,?)?")
LINE_MARK = re.compile(rf"\[ ?(?:{FEW_DIGITS} ?)?\]|\{{ ?\}}")
FEW_BLANKS = r"[ \t]{0,15}"
WORD_AFTER = re.compile(rf"""{FEW_BLANKS}[^\s,;.`<\[\]{{}}]|(?<=\]){FEW_BLANKS}\{{{FEW_BLANKS}\"""")
WORD_CUT = re.compile(rf"{FEW_BLANKS}(?:\{{{FEW_BLANKS})?")
BRACKET = re.compile(r"[\[\]{}]")
WITH_MORE = re.compile(r"[{\[]\s*[^\s{}\[\]]")  # a bracket alone is often a doubled one
NAMED = re.compile(r"""["']\s*:\s*\Z""")
MOST_BEFORE = 4096
MOST_AFTER = 160
MEMBER_AFTER = re.compile(
    rf"""\s*(?:[\]}}]|,\s*(?:\Z|[\]}}]|\\?"[^"\n]{{0,64}}"\s*:|'[^'\n]{{0,64}}'\s*:|{NAME}\s*:))"""
)
ITEM_AFTER = re.compile(
    rf"""[\s)`]*(?:[\]}}]|,\s*(?:\Z|["'\[{{\]}}]|(?:{NUMBER}|{FULL})\s*(?:[,\]]|\Z)))"""
)
MORE_OBJECTS = re.compile(r"[\s)`]*,\s*\{\s*[\"}]")
MORE_ITEMS = re.compile(rf"""\s*,\s*(?:["'\[{{]|(?:{NUMBER}|{FULL})\s*(?:[,\]]|\Z))""")
CLOSERS = r"\s*(?:[\]}]\s*){0,8}+"  # more brackets may follow the one that is wrong
NEXT_ITEM = re.compile(rf"{CLOSERS},\s*(?:\[\s*)?\{{\s*[\"}}]")
NEXT_CUT = re.compile(rf"{CLOSERS}(?:,\s*(?:\[\s*)?(?:\{{\s*)?)?")
NEXT_NAMED = re.compile(rf"""{CLOSERS},\s*\{{\s*"([^"\\\n]{{0,64}})"\s*:""")
NEXT_NAMED_CUT = re.compile(rf"""{CLOSERS}(?:,\s*(?:\{{\s*(?:"[^"\\\n]{{0,64}}(?:"\s*)?)?)?)?""")
NEXT_MEMBER = re.compile(r"""\s*,\s*(?:"[^"\n]{0,64}"|'[^'\n]{0,64}')\s*:""")
NEXT_MEMBER_CUT = re.compile(r"""\s*(?:,\s*(?:"[^"\n]{0,64}(?:"\s*)?|'[^'\n]{0,64}(?:'\s*)?)?)?""")
ODD = re.compile(r"[^\s,;\[\]`]")  # between objects one after another


def start(m: Machine, text: str, pos: int) -> int:
    """What a model thinks aloud stands before all else, in a tag."""
    end = BLANKS.match(text, pos).end()  # type: ignore[union-attr]
    if end == len(text) or (text[end:] in CUT and not m._ended):
        m._prose.append(text[pos:end])
        return m._hold(text, end)
    if tag := TAG.match(text, end):
        m._closers = f"</{tag[1]}>"
        m._prose.append(text[pos : tag.end()])
        m._go("thinking")
        return tag.end()
    _answers(m)
    return pos


def _answers(m: Machine) -> None:
    m._go("answer" if m._expect == "any" else "before")


def thinking(m: Machine, text: str, pos: int) -> int:
    """Up to the closing tag."""
    end = text.find(m._closers, pos)
    if end >= 0:
        end += len(m._closers)
        m._prose.append(text[pos:end])
        m._thought = m._where(text, end)
        _answers(m)
        return end
    end = text.rfind("<", pos)
    if end < 0 or m._ended or not m._closers.startswith(text[end:]):
        end = len(text)
    m._prose.append(text[pos:end])
    return m._hold(text, end)


def ended(m: Machine) -> None:
    """No more comes: if the thought did not end, the answer may be in it; or in what was aside."""
    if m._step is m._steps["thinking"]:
        whole = "".join(m._prose)
        m._prose.clear()
        m._go("before")
        m._read_on(whole, 0)
    if m._aside is not None and m._root is MISSING:
        whole, at = "".join(m._prose), m._aside.list_at
        m._prose = [whole[:at]]
        _doubt(m, whole[at:], 0)
        m._read_on(whole[at:], m._open((), whole[at:], 0))


def before(m: Machine, text: str, pos: int) -> int:
    """Up to where the value begins, or the next of objects one after another."""
    at, sure = begin(text, pos, m._opening)
    while sure and m._root is MISSING and (mark := _is_mark(m, text, pos, at)) is not False:
        at, sure = begin(text, at + 1, m._opening) if mark else (at, None)
    if sure is None and m._ended:
        sure = m._in_series  # what was cut off was to be the next of the objects
    held = sure is None
    end = at if held or sure else len(text)
    if m._root is MISSING:
        m._prose.append(text[pos:end])
    else:
        m._passed.append(text[pos:end])
        if odd := ODD.search(text, pos, end):
            m._note("text between or after the objects is passed over", text, odd.start())
    if held:
        return m._hold(text, at)
    if not sure:
        return end
    if m._expect == "array" and text[at] == "{" and m._root is MISSING:
        m._note("objects one after another are read as one list", text, at)
        m._opening = OPENING["object"]
        m._in_series = True
        m._begin_box([], ())
        series.begin(m)
    if m._in_series:
        return series.next_object(m, text, at)
    if m._expect == "array" and series.set_aside(m, text, at):
        return at
    _doubt(m, text, at)
    return m._open((), text, at)


def _is_mark(m: Machine, text: str, pos: int, at: int) -> bool | None:
    """Whether a bracket belongs to the word before it, as in ``items[0]``, or to its sentence.

    Where no sentence stands before it, as at the start of a line, one may follow. It may also be
    (``None``) that this cannot be told yet.
    """
    index, mark = INDEX.match(text, at), MARK.match(text, at)
    cut = not m._ended and MARK_CUT.fullmatch(text, at) is not None
    if not (index or mark or cut):
        return False
    near = "".join(piece[-NEAR:] for piece in m._prose[-2 * NEAR :])
    near = (near + text[max(pos, at - NEAR) : at])[-NEAR:]
    if FENCE_BEFORE.search(near):
        return False
    if index and WORD_BEFORE.search(near):
        return True
    if not SENTENCE_BEFORE.search(near):
        cut, mark = False, LINE_MARK.match(text, at)
        if mark is None or (
            mark[0] in ("{}", "[]") and m._where(text, at) < NEAR and not near.strip()
        ):
            return False  # an answer that begins so may be no more, as a tool's input
        if not WORD_AFTER.match(text, mark.end()):
            return None if WORD_CUT.fullmatch(text, mark.end()) and not m._ended else False
    if mark and m._mark is None:
        m._mark = m._where(text, at), mark[0]
    return None if cut else mark is not None


def _doubt(m: Machine, text: str, at: int) -> None:
    """Whether the value may lie in another: what follows it then shows that."""
    if m._mark is not None:
        m._notes["brackets within a sentence are passed over"] = m._mark[0]
    prose = "".join(m._prose)[m._thought :][-MOST_BEFORE:]
    brackets: list[re.Match[str]] = []
    for found in BRACKET.finditer(prose):
        if found[0] in "[{":
            brackets.append(found)
        elif brackets and brackets[-1][0] + found[0] in ("[]", "{}"):
            brackets.pop()
    around = [found[0] for found in brackets if WITH_MORE.match(prose, found.start())]
    if around:
        m._note("it follows a bracket that begins no JSON", text, at)
    in_list = text[at] == "{" and prose.rstrip()[-1:] == "[" and bool(brackets)
    if around and in_list:
        m._doubt = ITEM_AFTER
    elif NAMED.search(prose) or around[-1:] == ["{"]:
        m._doubt = MEMBER_AFTER
    elif around and not prose.rstrip().endswith(":"):
        m._doubt = ITEM_AFTER
    elif in_list:
        m._doubt = MORE_ITEMS
    elif around:
        m._doubt = MORE_OBJECTS


def doubted(m: Machine, text: str, pos: int) -> bool:
    """Whether what follows the value does not show yet that it is the whole."""
    following = text[pos : pos + MOST_AFTER]
    more = following.lstrip()
    if (not more or more[0] in ",)`") and len(following) < MOST_AFTER and not m._ended:
        return True
    if m._doubt is not None and m._doubt.match(following):
        within = "it lies in another value, whose beginning cannot be read"
        alone = "it is the first of a list, and the others are not read"
        m._spoil(alone if m._doubt in (MORE_ITEMS, MORE_OBJECTS) else within, m._end)
    m._doubt = None
    return False


def closed_early(m: Machine, text: str, pos: int) -> str | None:
    """What follows that would be in the value, if something does; ``None``: not known yet.

    Another object after a list of them, or after an object a member; or an object with a name
    that those in its last member have.
    """
    following = text[pos : pos + MOST_AFTER]
    known: set[str] = set()
    if type(m._root) is dict:
        wanted, cut, what = NEXT_MEMBER, NEXT_MEMBER_CUT, "the object, and members"
        last = next(reversed(m._root.values()), None)
        known = names_of(last) if type(last) is list else known
    elif type(m._root) is list and m._root and type(m._root[-1]) is dict:
        wanted, cut, what = NEXT_ITEM, NEXT_CUT, "the list, and objects"
    else:
        return ""
    is_cut = cut.fullmatch(following) or (known and NEXT_NAMED_CUT.fullmatch(following))
    if is_cut and len(following) < MOST_AFTER and not m._ended:
        return None
    if (found := NEXT_NAMED.match(following)) and found[1] in known:
        what = "the object, and objects"
    elif not wanted.match(following):
        return ""
    return f"a bracket closes {what} follow that are not read"
