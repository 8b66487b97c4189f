"""The shapes of JSON text, whole and cut anywhere, and what its strings and words stand for."""

from __future__ import annotations

import re
from typing import Any

import orjson

__all__ = [
    "BARE_NAME",
    "CONTROL",
    "FIRST_ITEM",
    "FIRST_MEMBER",
    "HALF",
    "INDEX",
    "NEXT_ITEM",
    "NEXT_MEMBER",
    "OPEN_ESCAPE",
    "PAIR",
    "SPACE",
    "TOKEN",
    "begin",
    "character",
    "odd_escape",
    "read_exactly",
    "segment",
    "unescaped",
    "word",
]

BLANKS = r"[ \t\n\r]"
SPACE = re.compile(rf"{BLANKS}*+")
TOKEN = re.compile(r"(?:[^ \t\n\r,\]};/]|/(?=[^/*]))*+")  # up to a comment, too
INDEX = re.compile(rf"\[{BLANKS}{{0,15}}-?[0-9]{{1,39}}{BLANKS}{{0,15}}\]")
BARE_NAME = re.compile(r"[A-Za-z0-9_$-]*+")
PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
HALF = re.compile("[\ud800-\udfff]")
CONTROL = re.compile("[\x00-\x1f]")

# One match takes a regular member or item as far as the text goes: nothing of it is required.
# Groups: 1 name, 2 string, 3 its closing quote, 4 scalar, 5 opening bracket, 6 closing bracket.
PLAIN = '[^"\\\\\x00-\x1f\ud800-\udfff]*+'
SCALAR = (
    r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+(?=[ \t\n\r,\]}])"
    r"|(?:true|false|null)(?=[ \t\n\r,\]}])"
)
VALUE = rf'(?:"({PLAIN})(")?+|({SCALAR})|([{{\[])|[-+.0-9A-Za-z]++)'
MEMBER = rf'"({PLAIN})(?:"{BLANKS}*+(?::{BLANKS}*+{VALUE}?+)?+)?+'
FIRST_MEMBER = re.compile(rf"{BLANKS}*+(?:{MEMBER}|(}}))?+")
NEXT_MEMBER = re.compile(rf"{BLANKS}*+(?:,{BLANKS}*+(?:{MEMBER})?+|(}}))?+")
FIRST_ITEM = re.compile(rf"{BLANKS}*+()(?:{VALUE}|(\]))?+")
NEXT_ITEM = re.compile(rf"{BLANKS}*+()(?:,{BLANKS}*+{VALUE}?+|(\]))?+")

# A bracket begins a value if what follows it could stand in JSON. After many blanks or digits it
# does too: whatever is looked for is bounded, and no list of JSON's is passed over.
OTHERS = "\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
SOME = rf"[ \t\n\r,{OTHERS}]{{0,63}}"
FEW = rf"{BLANKS}{{0,15}}"
WORDS = ("true", "false", "null", "True", "False", "None", "NaN", "Infinity", "undefined")
NAME = r"[A-Za-z0-9_$][A-Za-z0-9_$-]{0,63}"
WHOLE = r"[-+]?(?:[0-9]{1,40}+(?:\.[0-9]{0,40}+)?+|\.[0-9]{1,40}+)"
NUMBER = rf"{WHOLE}(?:[eE][-+]?[0-9]{{1,40}}+)?+"
FULL = "|".join(WORDS)
CUT = "|".join(sorted({word[:n] for word in WORDS for n in range(1, len(word) + 1)}, reverse=True))
DELIMITED = rf"(?:{FEW}(?:[,\]]|/[/*])|{BLANKS}{{16}})"
LIST_MARK = rf"(?:-|[0-9]{{1,3}}[.)]){FEW}"  # before an object in a list
BEGIN = re.compile(
    rf"\{{(?:{SOME}(?:[\"“”„}}]|//|/\*|'[^'\n]{{0,63}}'{FEW}:|{NAME}{FEW}:{FEW}"
    rf"(?:[\"“”„'{{\[\-+.0-9]|/[/*]|{FULL}))|{BLANKS}{{64}})"
    rf"|\[(?:{SOME}(?:[\]\[{{\"“”„']|//|/\*|{NUMBER}(?:{DELIMITED}|[0-9])"
    rf"|(?:{FULL}){DELIMITED}|{LIST_MARK}\{{{FEW}\")|{BLANKS}{{64}})"
)
MAY_BEGIN = re.compile(
    rf"\{{{SOME}(?:/|'[^'\n]{{0,63}}(?:'{FEW})?|{NAME}{FEW}(?::{FEW}(?:{CUT}|/)?)?)?"
    rf"|\[{SOME}(?:/|{NUMBER}{FEW}/?|{WHOLE}[eE][-+]?|[-+]?\.?|(?:{FULL}){FEW}/?|{CUT}"
    rf"|{LIST_MARK}(?:\{{{FEW})?)?"
)
OPENING = {"object": re.compile(r"\{"), "array": re.compile(r"[{\[]"), "any": re.compile(r"[{\[]")}


def begin(text: str, pos: int, opening: re.Pattern[str]) -> tuple[int, bool | None]:
    """Where in ``text`` from ``pos`` on a value begins: yes, no, or (``None``) perhaps."""
    while (start := opening.search(text, pos)) is not None:
        at = start.start()
        if BEGIN.match(text, at):
            return at, True
        if MAY_BEGIN.fullmatch(text, at):
            return at, None
        pos = at + 1
    return len(text), False


OPEN_ESCAPE = re.compile(
    r"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?))?"
)
ESCAPE = re.compile(
    r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\(.)",
    re.DOTALL,
)
SIMPLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
PAIR_ESCAPE = r"[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
LOW_OR_NONE = r"(?![dD][89abAB])[0-9a-fA-F]{4}"
HIGH_ALONE = (
    r"[dD][89abAB][0-9a-fA-F]{2}(?=[^\\]|\\[^u]|\\u[0-9a-fA-F]{0,3}[^0-9a-fA-F]|\\u[0-9a-fA-F]{4})"
)
NO_HEX = r"(?=[0-9a-fA-F]{0,3}[^0-9a-fA-F])"


def segment(closers: str, *, strict: bool) -> re.Pattern[str]:
    """The part of a string that can be told at once: up to a closer, or an escape that is cut."""
    if strict:
        plain = rf"[^{closers}\\\x00-\x1f\ud800-\udfff]*+"
        escapes = rf'["\\/bfnrt]|u(?:{PAIR_ESCAPE}|(?![dD][89abAB]|[dD][c-fC-F])[0-9a-fA-F]{{4}})'
    else:
        plain = rf"[^{closers}\\]*+"
        escapes = rf"[^u]|u(?:{PAIR_ESCAPE}|{HIGH_ALONE}|{LOW_OR_NONE}|{NO_HEX})"
    return re.compile(rf"{plain}(?:\\(?:{escapes}){plain})*+", re.DOTALL)


def unescaped(text: str) -> str:
    """``text``, a segment of a string, with its escapes resolved, JSON's or not."""
    return ESCAPE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    high, low, unit, plain = found.groups()
    if high is not None:
        return character(int(high, 16), int(low, 16))
    if unit is not None:
        return chr(int(unit, 16))
    return "\\u" if plain == "u" else SIMPLE.get(plain, plain)


def odd_escape(text: str, quote: str) -> int | None:
    """Where in a segment the first escape stands that JSON has not, if there is one."""
    for found in ESCAPE.finditer(text):
        if found[4] is not None and found[4] not in '"\\/bfnrt' and found[4] != quote:
            return found.start()
    return None


def character(high: int, low: int) -> str:
    """The character of a surrogate pair."""
    return chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)


BIG_INT = re.compile(rf"{BLANKS}*+-?[1-9][0-9]{{18,4299}}{BLANKS}*+")  # Python reads no more digits


def read_exactly(token: str) -> Any:
    """``token`` as ``orjson`` reads it, but an integer beyond 64 bits as one."""
    if len(token) > 18 and BIG_INT.fullmatch(token):
        return int(token)
    return orjson.loads(token)


LITERALS = {"True": True, "False": False, "TRUE": True, "FALSE": False, "None": None, "NULL": None}
NOWHERE = ("NaN", "nan", "Infinity", "-Infinity", "+Infinity", "inf", "-inf", "undefined")
LOOSE_NUMBER = re.compile(r"([+-]?)0*+([0-9]*+)(?:\.([0-9]*+))?+([eE][+-]?[0-9]++)?+")


def word(token: str) -> tuple[Any, str] | None:
    """What a scalar that JSON has not stands for, and a word on it, if it can be known."""
    token = token.strip("\ufeff").strip()
    if token in LITERALS:
        return LITERALS[token], f"{token} read as JSON's"
    if token in NOWHERE:
        return None, f"{token} read as null"
    found = LOOSE_NUMBER.fullmatch(token)
    if found is None or not (found[2] or found[3] or re.match(r"[+-]?0", token)):
        return None
    sign, whole, fraction, exponent = found.groups()
    dot = "" if fraction is None else f".{fraction or '0'}"
    number = f"{'-' if sign == '-' else ''}{whole or '0'}{dot}{exponent or ''}"
    try:
        return orjson.loads(number), "a number that JSON writes otherwise"
    except orjson.JSONDecodeError:
        return None, "a number too large, read as null"
