"""What a schema asks of a value beside its type: a format, and limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["FORMATS", "fitted", "with_limits"]

FORMATS = {
    "date": "2031-05-{0:02}", "date-time": "2031-05-{0:02}T17:30:00Z", "duration": "PT{0}H",
    "email": "watch-{0}@example.org", "hostname": "post-{0}.example.org", "ipv4": "192.0.2.{0}",
    "ipv6": "2001:db8::{0}", "time": "17:{0:02}:00Z", "uri": "https://example.org/{0}",
    "uuid": "3f2b8c1e-5d4a-4e6f-9a7b-0000000000{0:02}",
}  # fmt: skip
"""A value of each, with a number from 1 to 28 in it."""

_LIMIT = re.compile(
    r"\b(minimum|maximum|exclusiveMinimum|exclusiveMaximum|multipleOf|minLength|maxLength|"
    r"minItems|maxItems): (-?\d+(?:\.\d+)?)(?=[,)])"
)


def with_limits(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """``schema`` with the limits that its description tells.

    Structured output takes none of its own, so who asks puts them there: ``"(maximum: 5)"``.
    """
    said = schema.get("description")
    if not isinstance(said, str) or not (found := _LIMIT.findall(said)):
        return schema
    return {**{name: float(n) if "." in n else int(n) for name, n in found}, **schema}


def fitted(schema: Mapping[str, Any], text: str) -> str:
    """``text`` between the least and the most characters that ``schema`` allows.

    It is cut between sentences, if it can be, else between words, and never within a slot.
    """
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    while len(text) < least:
        text += " and on"
    if most is None or len(text) <= most:
        return text
    cut = text[: int(most)]
    if (opened := cut.rfind("{")) > cut.rfind("}"):
        cut = cut[:opened]
    for end in (cut.rfind(". ") + 1, cut.rfind(" ")):
        if end > least:
            return cut[:end]
    return cut if len(cut) >= least else text[: int(most)]
