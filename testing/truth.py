"""Whether a stamp is true of what happened."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson

from ..streams.models import Purpose
from .changes import Happening
from .stamps import Stamp
from .watch import WatchedStream

__all__ = ["untrue", "vouched"]

BLOWS = ("hit", "miss", "critical")
GOOD = {"hit", "critical", "success"}
BAD = {"miss", "failure"}
CHOICE = re.compile(r'\{"choice": ([0-9]+)\}')
HARMFUL = ("hit", "critical", "failure")


def untrue(
    stamp: Stamp, truth: Happening, part: tuple[str | None, str, Any, Any], *, prepared: bool
) -> str | None:
    """What is wrong with it, if anything: whom it is about, its result, and its numbers.

    Where the part's health is two, for it changed between a blow and its outcome, either will do.

    :param prepared: whether it was written before the outcome: then it tells of a fall exactly if
        it was written for one.
    """
    target, result, damage, hp = part
    whom = stamp.target or ("" if truth.aimed else target or "")
    if (stamp.actor, stamp.action, whom) != (truth.actor, truth.action, target or ""):
        return f"is of another deed than {truth.actor}'s {truth.action} against {target}"
    hps = [each for each in (hp if isinstance(hp, tuple) else (hp,)) if _number(each)]
    falls = bool(hps) and all(each <= 0 for each in hps)
    if stamp.result == "kill":
        if hps and all(each > 0 for each in hps):
            return f"fells one that stands with {hp}"
    elif stamp.result != result:
        return f"tells of another result than {result}"
    elif falls and result in HARMFUL and (prepared or _told(stamp.hp) not in (None, 0.0)):
        return "leaves a fallen one standing"
    if _number(damage) and stamp.damage and not _close(stamp.damage, damage):
        return f"has another damage than {damage}"
    if hps and _told(stamp.hp) is not None and not any(_close(stamp.hp, each) for each in hps):
        return f"has another health than {hp}"
    return None


def vouched(streams: Iterable[WatchedStream], stamp: Stamp, result: str) -> bool:
    """Whether the small model has said that a stamped text tells a result of another name.

    Whatever it says, none tells a fall, nor a blow of another kind, nor what came off as what did
    not.
    """
    words = stamp.result, result
    if "kill" in words or all(word in BLOWS for word in words):
        return False
    if {*words} & GOOD and {*words} & BAD:
        return False
    for stream in streams:
        prompt = stream.request.messages[-1].text
        answer = CHOICE.fullmatch(stream.text.strip())
        if stream.request.purpose is Purpose.REFINE and prompt.startswith("PREPARED") and answer:
            prepared = orjson.loads(prompt.split("\n", 1)[0].removeprefix("PREPARED "))
            for each in prepared:
                if each["n"] == int(answer[1]) and f"⟦{stamp.stream}|" in each["text"]:
                    return True
    return False


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _told(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _close(text: str, value: float) -> bool:
    told = _told(text)
    return told is not None and abs(told - value) < 1e-3
