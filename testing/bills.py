"""What the streams of a session must have cost, reckoned from what they were sent (G2, G3)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..operators.generation import Generation, Phase
from ..session import Session
from ..sinks.ledger import Price, prices
from ..streams.models import Purpose
from .watch import WatchedStream

__all__ = ["MICRODOLLAR", "PURPOSES", "Bills", "Due"]

PURPOSES = ("prefetch", "refine", "foreground", "plan", "summary")
CHARS_PER_TOKEN = 4.0
MILLION = 1_000_000
MICRODOLLAR = 1e-6


class Due(NamedTuple):
    """The least and the most that something may have cost."""

    least: float = 0.0
    most: float = 0.0

    @staticmethod
    def either(*counts: float) -> Due:
        """One of these, or between them."""
        return Due(min(counts), max(counts))

    def plus(self, other: Due, times: float = 1.0) -> Due:
        """Both, and the other so many times."""
        return Due(self.least + times * other.least, self.most + times * other.most)

    def has(self, value: float, slack: float = 0.0) -> bool:
        """Whether this may be it."""
        return self.least - slack <= value <= self.most + slack

    def __str__(self) -> str:
        least, most = f"{self.least:.6g}", f"{self.most:.6g}"
        return least if least == most else f"{least} to {most}"


class Rates:
    """The characters for a token that finished streams had; by such a rate others are estimated.

    The ledger goes by the mean of those it knew by then, or by 4 if it knew none.
    """

    def __init__(self) -> None:
        self._least = self._most = CHARS_PER_TOKEN

    def note(self, stream: WatchedStream) -> None:
        """A stream has ended."""
        tokens = stream.usage.output
        if stream.usage.final and tokens is not None and stream.text:
            rate = len(stream.text) / tokens if tokens else math.inf
            self._least, self._most = min(self._least, rate), max(self._most, rate)

    def tokens(self, least: int, most: int) -> Due:
        """Of at least, and at most, so many characters."""
        return Due(math.floor(least / self._most), math.ceil(most / self._least))


NOTHING = Due()


@dataclass(slots=True, eq=False)
class Bill:
    """One stream that was asked for, and what it must have cost, once it is over.

    ``stream`` is none, if it was closed before it was read: only its prompt may be billed then. Of
    one of which a line is ``lost`` in a crash, less is known than was sent.
    """

    generation: Generation
    stream: WatchedStream | None = None
    lost: bool = False
    tokens: Due = NOTHING
    dollars: Due = NOTHING

    @property
    def asked(self) -> int:
        """The tokens of its prompt, where no server has said how many there were."""
        request = self.generation.request
        chars = len(request.system) + sum(len(each.text) for each in request.messages)  # ints
        return round(chars / CHARS_PER_TOKEN)

    @property
    def reserve(self) -> int:
        """The most it may come to."""
        return self.asked + self.generation.request.max_tokens

    @property
    def ended(self) -> bool:
        """Whether it came to its own end, and all that it was sent was heard."""
        return self.generation.phase in (Phase.DONE, Phase.FAILED)

    def reckon(self, rates: Rates, price: Price | None) -> None:
        """It is over, or broken off: what it has reported, or as well as that can be said."""
        read = kept = 0
        asked, written = Due(0, self.asked), NOTHING
        if self.stream is not None:
            usage = self.stream.usage
            read, kept = usage.cache_read or 0, usage.cache_write or 0
            asked, written = self._asked(self.stream), self._written(self.stream, rates)
            if self.lost:
                asked = Due(0, max(asked.most, self.asked))
                written = Due(0, max(written.most, len(self.stream.text)))
        # What the server said of its cache may not have been heard before it was closed.
        self.tokens = asked.plus(written).plus(Due(kept if self.ended else 0, kept))
        if price is not None:
            most = read * price.cache_read + kept * price.cache_write
            cached = Due(most if self.ended else 0.0, most)
            dollars = cached.plus(asked, price.input).plus(written, price.output)
            self.dollars = NOTHING.plus(dollars, 1 / MILLION)

    def _asked(self, stream: WatchedStream) -> Due:
        said = stream.usage.input
        if self.ended and said is not None:
            return Due(said, said)
        if self.generation.phase is Phase.FAILED and not stream.text:
            return NOTHING  # it was refused before it was read
        return Due.either(self.asked, self.asked if said is None else said)

    def _written(self, stream: WatchedStream, rates: Rates) -> Due:
        exact = stream.usage.output if stream.usage.final else None
        if self.ended and exact is not None:
            return Due(exact, exact)
        closed = asyncio.get_running_loop().time() if stream.closed_at is None else stream.closed_at
        heard = len(stream.text)
        if not self.ended and stream.last_at == closed:  # then nobody may have heard the last of it
            heard = stream.before_last
        estimate = rates.tokens(heard, len(stream.text))
        return estimate if exact is None else Due.either(*estimate, exact)


class Bills:
    """What all streams of a session come to.

    ``whole`` is whether it is watched from its first stream on.
    """

    def __init__(self, session: Session[Any]) -> None:
        self.whole = session.generations.opened == 0
        self._rates = Rates()
        self._open: list[Bill] = []
        self._named: dict[str, Bill] = {}
        self._tokens = dict.fromkeys(PURPOSES, NOTHING)
        self._dollars = NOTHING
        self._prefetched = 0.0
        self._follow(session)

    def _follow(self, session: Session[Any]) -> None:
        self._session, generations = session, session.generations

        def on_asked(t: float, line: Mapping[str, Any]) -> None:
            if (asked := generations.find(line["generation"])) is not None:
                self._named[asked.id] = bill = Bill(asked)
                self._open.append(bill)

        session._pipeline.recorder.listen({"~asked": on_asked})

    def opened(self, stream: WatchedStream) -> None:
        """A stream is about to be read."""
        for bill in reversed(self._open):  # it was asked for just now
            if bill.generation.request is stream.request:
                bill.stream = stream
                return

    def resume(self, session: Session[Any], lost: Mapping[str, Any]) -> None:
        """The process is gone: what was under way is broken off.

        :param lost: the line that was cut off: what it said of a stream is not known any more.
        """
        self.settle(broken_off=True)
        bill = self._named.get(lost.get("generation", ""))
        if bill is not None:
            self._enter(bill, -1)
            bill.lost = True
            self._reckon([bill])
            self._enter(bill, 1)
        self._named.clear()
        self._follow(session)

    def settle(self, *, broken_off: bool = False) -> None:
        """Enter what is over by now; ``broken_off``: also what is under way."""
        running = Phase.RUNNING
        over = [bill for bill in self._open if broken_off or bill.generation.phase is not running]
        if over:
            self._open = [bill for bill in self._open if bill not in over]
            self._reckon(over)
            for bill in over:
                self._enter(bill, 1)

    def _reckon(self, over: list[Bill]) -> None:
        for bill in over:
            if bill.stream is not None:
                self._rates.note(bill.stream)
        known = self._session._pipeline._game.price_list or prices()
        for bill in over:
            model = bill.generation.request.model
            names = [name for name in known if model.startswith(name)]
            bill.reckon(self._rates, known[max(names, key=len)] if names else None)

    def _enter(self, bill: Bill, times: int) -> None:
        purpose = bill.generation.request.purpose
        self._tokens[purpose] = self._tokens[purpose].plus(bill.tokens, times)
        self._dollars = self._dollars.plus(bill.dollars, times)
        if purpose is Purpose.PREFETCH:
            self._prefetched += times * min(bill.tokens.least, bill.reserve)

    def under_way(self) -> tuple[Due, Due]:
        """What will be due if all ends here: tokens and dollars."""
        self.settle()
        self._reckon(self._open)
        tokens, dollars = NOTHING, NOTHING
        for bill in self._open:
            tokens, dollars = tokens.plus(bill.tokens), dollars.plus(bill.dollars)
        return tokens, dollars

    def over_budget(self, cap: int) -> str | None:
        """What is wrong if more was prefetched, or may yet be, than a cap allows."""
        self.settle()
        asked = ((bill.generation.request.purpose, bill.reserve) for bill in self._open)
        reserved = sum(most for purpose, most in asked if purpose is Purpose.PREFETCH)  # ints
        if self._prefetched + reserved <= cap:
            return None
        spent = f"{self._prefetched:.0f} tokens were prefetched and {reserved} may be yet"
        return f"{spent}, and the cap is {cap}"

    def wrong(self, report: Mapping[str, Any]) -> str | None:
        """The first number of a report that is another than what the streams come to."""
        self.settle()
        tokens = report["tokens"]
        for purpose, due in self._tokens.items():
            if not due.has(tokens.get(purpose, 0)):
                return f"{tokens.get(purpose, 0)} {purpose} tokens are counted, and {due} were used"
        if tokens["saved"] + tokens["wasted"] != tokens["prefetch"]:
            return f"{tokens['saved']} and {tokens['wasted']} are not {tokens['prefetch']} tokens"
        if not self._dollars.has(report["cost_usd"], MICRODOLLAR):
            return f"${report['cost_usd']} are counted, and ${self._dollars} were spent"
        return None
