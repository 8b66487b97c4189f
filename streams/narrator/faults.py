"""What goes wrong with models, on demand or by seed: how it is asked for, and when it strikes."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from .wire import ApiError

__all__ = ["CutOff", "Fault", "Faults", "Kind", "Silent", "torn"]


class Kind(StrEnum):
    """What goes wrong."""

    NONE = "none"
    """Nothing: for one request that is spared."""
    LIMITED = "429"
    """Refused for a rate limit, with ``retry-after``."""
    BROKEN = "500"
    """Refused with an error of the server's own."""
    OVERLOADED = "529"
    """Refused because the server is overloaded."""
    SLOW = "slow"
    """The first token comes so many seconds later."""
    STALL = "stall"
    """Silence in mid-stream for so many seconds, or for ever (``inf``)."""
    CUT = "cut"
    """The connection dies in mid-stream."""
    ERROR = "error"
    """The stream ends in an ``error`` event."""
    TORN = "torn"
    """The answer has scraps in it that no JSON has."""
    PROSE = "prose"
    """Prose, where JSON was asked for."""
    GARBLED = "garbled"
    """Bytes in mid-stream that are not UTF-8."""
    EMPTY = "empty"
    """A stream, or a body, with nothing in it."""
    REFUSAL = "refusal"
    """The model stops, and declines to say more."""
    BADTOOL = "badtool"
    """A step of a plan with a tool that there is not."""
    BADARG = "badarg"
    """A step with a parameter that is out of its bounds, or missing."""
    BADTARGET = "badtarget"
    """A step at somebody who is not there."""
    BADPLAN = "badplan"
    """A plan without a step that can be done; of several plans one."""
    NOPLAN = "noplan"
    """No plan for one agent of several; a plan without steps for one alone."""
    TWICE = "twice"
    """Another plan for one agent of several."""
    STRANGER = "stranger"
    """A plan for somebody nobody has asked about, between those of several."""
    MIXED = "mixed"
    """The plans of several in another order than they were asked for."""
    CHATTY = "chatty"
    """Words before and behind the plans, with brackets and an object that is none."""


_SECONDS: Mapping[Kind, float] = {Kind.LIMITED: 2.0, Kind.SLOW: 10.0, Kind.STALL: math.inf}
_MIDWAY = (Kind.STALL, Kind.CUT, Kind.ERROR, Kind.TORN, Kind.GARBLED, Kind.REFUSAL)
_PLANS = (
    *(Kind.BADTOOL, Kind.BADARG, Kind.BADTARGET, Kind.BADPLAN),
    *(Kind.NOPLAN, Kind.TWICE, Kind.STRANGER, Kind.MIXED, Kind.CHATTY),
)
_PLACED = (*_MIDWAY, *(kind for kind in _PLANS if kind not in (Kind.MIXED, Kind.CHATTY)))
"""Those that strike somewhere in the answer: these take a share."""
_LONGEST = 86_400.0
_NUMBER = r"(?:\d{1,9}(?:\.\d{0,9})?|\.\d{1,9})"
_FAULT = re.compile(rf"([a-z0-9]{{1,9}})(?:=({_NUMBER}|inf))?(?:@({_NUMBER}))?")
_RATE = re.compile(rf"([^:]*):({_NUMBER}(?:[eE][-+]?\d{{1,2}})?)")
_SCRAP = '"]}{"'


class CutOff(Exception):
    """The connection is to die here."""


class Silent(Exception):
    """The reader has left: nothing came for as long as its patience lasts."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong with one answer.

    :param seconds: of silence for ``slow`` and ``stall``; what ``retry-after`` says for ``429``.
    :param share: of the answer that has come when it strikes, from 0 to 1; drawn where not given.
    """

    kind: Kind
    seconds: float = 0.0
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Read ``KIND[=SECONDS][@SHARE]``, such as ``stall=5@0.3``.

        :raises ValueError: for anything else, with what there is.
        """
        found = _FAULT.fullmatch(text.strip())
        if found is None or found[1] not in list(Kind):
            known = ", ".join(Kind)
            raise ValueError(f"no fault {text[:40]!r}: use KIND[=SECONDS][@SHARE], one of {known}")
        kind = Kind(found[1])
        if found[2] and kind not in _SECONDS:
            raise ValueError(f"{kind} takes no seconds; {', '.join(_SECONDS)} do")
        if found[3] and kind not in _PLACED:
            raise ValueError(f"{kind} takes no share; {', '.join(_PLACED)} do")
        seconds = float(found[2]) if found[2] else _SECONDS.get(kind, 0.0)
        if seconds > _LONGEST and not (kind is Kind.STALL and math.isinf(seconds)):
            raise ValueError(f"{found[2]} seconds are too many: choose up to {_LONGEST:.0f}")
        share = float(found[3]) if found[3] else None
        if share is not None and share > 1:
            raise ValueError(f"{found[3]} is not a share: choose 0 to 1")
        return cls(kind, seconds, share)

    def __str__(self) -> str:
        seconds = f"={self.seconds:g}" if self.kind in _SECONDS else ""
        return f"{self.kind}{seconds}" + ("" if self.share is None else f"@{self.share:g}")

    @property
    def of_plans(self) -> bool:
        """Whether it is about plans, and no matter for other answers."""
        return self.kind in _PLANS

    @property
    def refused(self) -> ApiError | None:
        """The error that the whole request is answered with, if it is."""
        match self.kind:
            case Kind.LIMITED:
                said = "This request would exceed the narrator's rate limit: asked for as a fault."
                return ApiError(429, "rate_limit_error", said, float(math.ceil(self.seconds)))
            case Kind.BROKEN:
                return ApiError(500, "api_error", "Internal server error")
            case Kind.OVERLOADED:
                return _overloaded()
        return None

    def strikes_at(self, pieces: int) -> int:
        """How many of so many pieces come before it; more than there are, where it is no matter."""
        if self.kind not in (Kind.STALL, Kind.CUT, Kind.ERROR, Kind.GARBLED):
            return pieces + 1
        at = int((self.share or 0.0) * pieces)
        return min(at, pieces - 1) if self.kind is Kind.GARBLED else at

    def broken_off(self) -> Exception | None:
        """What ends the answer where it strikes, if that does."""
        if self.kind is Kind.CUT:
            return CutOff()
        return _overloaded() if self.kind is Kind.ERROR else None


def _overloaded() -> ApiError:
    return ApiError(529, "overloaded_error", "Overloaded")


def torn(text: str, share: float) -> str:
    """``text`` with a scrap after that share of it, which makes of no JSON any JSON."""
    at = int(share * len(text))
    return text[:at] + _SCRAP + text[at:]


@dataclass(frozen=True, slots=True)
class Faults:
    """How likely each fault is; which one a request gets is drawn from the seed and its number."""

    rates: tuple[tuple[Fault, float], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Faults:
        """Read ``FAULT:RATE,…``, such as ``429:0.1,stall=5:0.05,cut@0.5:0.02``.

        :raises ValueError: for anything else, and for rates that come to more than 1.
        """
        rates = []
        for entry in filter(str.strip, text.split(",")):
            found = _RATE.fullmatch(entry.strip())
            if found is None or float(found[2]) > 1:
                raise ValueError(f"no fault with a rate from 0 to 1: {entry[:40]!r}; use 429:0.1")
            rates.append((Fault.parse(found[1]), float(found[2])))
        if not rates:
            raise ValueError("no fault is named; use 429:0.1,stall:0.05")
        if (total := math.fsum(rate for _, rate in rates)) > 1 + 1e-9:
            raise ValueError(f"the rates of all faults come to {total:g}, which is more than 1")
        return cls(tuple(rates))

    def of(self, seed: int, number: int, asked: Fault | None = None) -> Fault | None:
        """The fault of request ``number``: the one ``asked`` for, else drawn; with its share."""
        if asked is None and not self.rates:
            return None
        rng = random.Random(f"fault {seed} {number}")
        drawn, share = rng.random(), rng.random()
        fault = asked
        if fault is None:
            for each, rate in self.rates:
                drawn -= rate
                if drawn < 0:
                    fault = each
                    break
        if fault is None or fault.kind is Kind.NONE:
            return None
        share = share if fault.share is None else fault.share
        return replace(fault, share=share) if fault.kind in _PLACED else fault
