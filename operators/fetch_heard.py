"""What is heard of sources: it comes from outside, is recorded, and handed in by a replay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .fetch_job import Call, End
from .fetch_source import Content

if TYPE_CHECKING:
    from .fetch_calls import Calls

__all__ = ["Heard", "hand_in", "line_of", "nobody"]

Heard = Callable[[Call, End, str, Any, int, str], None]
"""Told of a call: what of it was heard, and where that is content, its key, value and tokens; or
why it failed."""


def nobody(call: Call, what: End, key: str, value: Any, tokens: int, why: str) -> None:
    """Nobody listens."""


def line_of(call: Call, what: End, key: str, value: Any, tokens: int, why: str) -> dict[str, Any]:
    """The fields of the line that records it; ``began`` is when the call did, in seconds."""
    line: dict[str, Any] = {"call": call.number, "what": what.value, "name": key or call.first}
    if what is not End.CLOSED:
        line["began"] = call.began
    if what is End.CAME:
        line |= {"found": value, "tokens": tokens}
    elif what is End.FAILED:
        line["why"] = why
    return line


def hand_in(calls: Calls, line: Mapping[str, Any]) -> None:
    """Hear it again, as it was recorded."""
    call = calls.of(line.get("call"))
    if call is None:
        return
    match End(line["what"]):
        case End.CAME:
            calls.came(call, Content(line["name"], line.get("found"), line.get("tokens")))
        case End.CLOSED:
            calls.closed(call)
        case how:
            calls.ended(call, how, str(line.get("why", "")))
