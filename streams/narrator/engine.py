"""The narrator's machine room: when each piece of an answer comes, and what was really generated.

Time is the running loop's, so the same engine serves real HTTP and virtual time. A request waits
for a slot, is read (prefill, faster where its prefix is cached), and is written at a speed that
shrinks as more streams are open. A token is taken to be four characters of text.
"""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Literal

from ..interleave import Piece, interleaved
from ..models import Block, BlockEnd, Delta
from .accounts import Account, Totals
from .faults import Fault, Faults, Kind, Silent, torn
from .limits import Bucket, PromptCache, Slots
from .misplans import misplanned
from .profiles import Profile, profile_of
from .structured import answer
from .wire import ApiError, Ask, Part

__all__ = ["Begun", "Ended", "Engine", "Spoilt", "tokens"]

_PIECE = re.compile(r"[\s\S]{1,14}(?=\s|\Z)|[\s\S]{1,14}")
_FAIR = 4
"""How many pieces an instant answer yields before it lets other tasks run."""


_NOTHING = Fault(Kind.NONE)


def tokens(length: int) -> int:
    """The estimate used throughout: four characters a token."""
    return (length + 3) // 4


@dataclass(frozen=True, slots=True)
class Begun:
    """The prompt is read and the answer begins: token counts of the input."""

    request: str
    input: int
    cache_read: int
    cache_write: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is complete, after ``output`` tokens."""

    reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use", "refusal"]
    output: int
    stop_sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Spoilt:
    """A piece of block ``index`` that is not UTF-8."""

    index: int


class _Lane:
    """One simulated model: its slots, its open streams, its cache and its limits."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.slots = Slots(profile.slots)
        self.cache = PromptCache()
        self.requests = Bucket(profile.requests_per_minute)
        self.tokens = Bucket(profile.tokens_per_minute)
        self.reading = 0
        self.writing = 0

    def admit(self, now: float, fresh: int) -> None:
        wait = max(self.requests.wait(now, 1), self.tokens.wait(now, fresh))
        if wait > 0:
            over = "requests" if self.requests.wait(now, 1) > 0 else "tokens"
            message = f"This request would exceed the narrator's rate limit of {over} per minute."
            raise ApiError(429, "rate_limit_error", message, float(math.ceil(wait)))
        self.requests.take(now, 1)
        self.tokens.take(now, fresh)

    def prefill(self, fresh: int, cached: int) -> float:
        shared = math.isfinite(self.profile.shared_tokens_per_second)
        speed = self.profile.uncached_prefill_tps / (self.reading if shared else 1)
        return self.profile.ttft + fresh / speed + cached / self.profile.cached_prefill_tps

    def speed(self) -> float:
        profile = self.profile
        return min(
            profile.tokens_per_second, profile.shared_tokens_per_second / max(1, self.writing)
        )


@dataclass
class Engine:
    """Answers requests at the pace of ``profile``: same seed, prompts and times, same run.

    The model name ``narrator-<profile>`` picks that profile's speed for a request, with slots and
    limits of its own, and so does a small model's name beside a large hosted one; every other name
    runs at ``profile``.

    :param clock: what accounts are stamped with; the running loop's time unless given.
    :param keep: how many accounts are kept; the totals go on.
    :param faults: how likely what goes wrong; may be changed at any time, for requests to come.
    :param write: its words, given what :func:`answer` is given.
    """

    profile: Profile
    seed: int = 0
    clock: Callable[[], float] | None = None
    keep: int = 10_000
    totals: Totals = field(default_factory=Totals)
    faults: Faults = field(default_factory=Faults)
    write: Callable[..., str] = answer

    def __post_init__(self) -> None:
        self.accounts: deque[Account] = deque(maxlen=self.keep)
        self.open: dict[str, Account] = {}
        self._lanes: dict[str, _Lane] = {}

    def __repr__(self) -> str:
        t = self.totals
        ended = f"{t.finished} finished, {t.cancelled} cancelled"
        return f"<Engine {self.profile.name}: {len(self.open)} open, {ended}>"

    def _lane(self, model: str) -> _Lane:
        profile = profile_of(model, self.profile)
        return self._lanes.setdefault(profile.name, _Lane(profile))

    async def generate(
        self, ask: Ask, patience: float = math.inf, ahead: float = 0.0
    ) -> AsyncGenerator[Begun | Block | Delta | BlockEnd | Spoilt | Ended, None]:
        """Answer: :class:`Begun`, blocks with their pieces at their time, :class:`Ended`.

        Several blocks are written side by side. The input of a tool that is not eager comes in
        one piece, once it is whole.

        Closing the generator frees its slot and stops the generation at once.

        :param patience: seconds of a fault's silence after which the reader leaves.
        :param ahead: answer as if it had been asked so many seconds before.
        :raises ApiError: 429 over a rate limit and 400 for a fault there is not, before anything
            else; and whatever a fault is answered with, at its time.
        :raises CutOff: where a fault cuts the connection.
        :raises Silent: when the reader's patience is at its end.
        """
        loop = asyncio.get_running_loop()
        clock = self.clock or loop.time
        lane = self._lane(ask.model)
        profile = lane.profile
        asked = _asked(ask.fault)
        account = self._account(ask.model, clock())
        fault = self.faults.of(self.seed, self.totals.opened, asked) or _NOTHING
        try:
            if fault is not _NOTHING:
                account.fault = str(fault)
            if (refused := fault.refused) is not None:
                account.ended = "refused"
                raise refused
            digest, plan = lane.cache.plan(ask, loop.time(), profile.min_cached_tokens)
            account.input, account.cache_read, account.cache_write = (
                plan.input,
                plan.read,
                plan.write,
            )
            try:
                lane.admit(loop.time(), plan.input + plan.write)
            except ApiError:
                account.ended = "refused"
                raise
            rng = random.Random(
                int.from_bytes(blake2b(digest, digest_size=8, key=b"%d" % self.seed).digest())
            )
            async with lane.slots:
                if fault.kind is Kind.SLOW:
                    await _silence(fault.seconds, patience)
                lane.reading += 1
                try:
                    delay = lane.prefill(plan.input + plan.write, plan.read)
                    delay *= 1 + profile.jitter * (2 * rng.random() - 1)
                    await asyncio.sleep(max(0.0, delay - ahead))
                finally:
                    lane.reading -= 1
                lane.cache.store(plan, loop.time())
                if fault.kind is Kind.EMPTY:
                    account.ended = "broken"
                    return
                account.first_token = clock()
                yield Begun(account.request, plan.input, plan.read, plan.write)
                pieces, ended = self._compose(ask, fault)
                strikes = fault.strikes_at(len(pieces))
                held = {n: "" for n, part in enumerate(ask.parts) if not part.eager}
                lane.writing += 1
                try:
                    due, sent, written = loop.time() - max(0.0, ahead - delay), 0, 0
                    for number, (index, text, first, last) in enumerate(pieces):
                        part = ask.parts[index]
                        if first:
                            yield _block(digest, index, part)
                        if number == strikes:
                            if fault.kind is Kind.GARBLED:
                                yield Spoilt(index)
                            due += await _struck(fault, account, patience)
                        written += len(text)
                        before, sent = sent, tokens(written)
                        if number:
                            spread = 1 + profile.jitter * (2 * rng.random() - 1)
                            due += (sent - before) / lane.speed() * spread
                            if (wait := due - loop.time()) > 0:
                                await asyncio.sleep(wait)
                            elif number % _FAIR == 0:
                                await asyncio.sleep(0)
                        account.output = sent
                        if index in held:
                            held[index] += text
                            text = held[index] if last else ""
                        if text:
                            yield Delta(text, "json" if part.tool else "text", index)
                        if last:
                            yield BlockEnd(index)
                    if strikes == len(pieces):
                        await _struck(fault, account, patience)
                finally:
                    lane.writing -= 1
                    lane.tokens.take(loop.time(), account.output)
            account.ended = "finished"
            yield ended
        finally:
            self._settle(account, clock())

    def _compose(self, ask: Ask, fault: Fault) -> tuple[list[Piece], Ended]:
        said = "\n".join(s.text for s in ask.segments[:-1])
        room = 4 * ask.max_tokens
        several = len(ask.parts) > 1
        texts = [
            self.write(
                ask.prompt, said, self.seed, None if fault.kind is Kind.PROSE else part.schema,
                room=room // len(ask.parts), about=part.tool or "" if several else "",
            )
            for part in ask.parts
        ]  # fmt: skip
        if fault.kind is Kind.TORN:
            texts[0] = torn(texts[0], fault.share or 0.0)
        if fault.of_plans:
            texts[0] = misplanned(texts[0], ask.prompt, fault.kind, fault.share or 0.0)
        ended = Ended("tool_use" if ask.parts[0].tool else "end_turn", 0)
        stops = [(at, s) for s in ask.stop_sequences if (at := texts[0].find(s)) >= 0]
        if stops and not several:
            at, stop = min(stops)
            texts[0] = texts[0][:at]
            ended = Ended("stop_sequence", 0, stop)
        written = tokens(sum(len(text) for text in texts))  # ints
        pieces = interleaved([_PIECE.findall(text) or [""] for text in texts])
        if fault.kind is Kind.REFUSAL:
            most = min(written, ask.max_tokens)
            kept = int((fault.share or 0.0) * 4 * most)
            return _cut(pieces, kept) if kept else [], Ended("refusal", tokens(kept))
        if written <= ask.max_tokens:
            return list(pieces), replace(ended, output=written)
        return _cut(pieces, room), Ended("max_tokens", ask.max_tokens)

    def _account(self, model: str, now: float) -> Account:
        self.totals.opened += 1
        name = blake2b(b"%d:%d" % (self.seed, self.totals.opened), digest_size=12).hexdigest()
        account = Account(name, model, now)
        self.accounts.append(account)
        self.open[name] = account
        return account

    def _settle(self, account: Account, now: float) -> None:
        account.closed = now
        if account.ended == "open":
            account.ended = "cancelled"
        del self.open[account.request]
        self.totals.add(account)


def _cut(pieces: Iterator[Piece], room: int) -> list[Piece]:
    """The pieces that have room, in characters; each text begun there has its last piece."""
    kept: list[Piece] = []
    ends: dict[int, int] = {}
    for piece in pieces:
        text = piece.text[:room]
        if text or not kept:
            ends[piece.of] = len(kept)
            kept.append(Piece(piece.of, text, piece.first, False))
            room -= len(text)
    for at in ends.values():
        kept[at] = kept[at]._replace(last=True)
    return kept


def _asked(fault: str | None) -> Fault | None:
    if fault is None:
        return None
    try:
        return Fault.parse(fault)
    except ValueError as error:
        raise ApiError(400, "invalid_request_error", f"narrator_fault: {error}") from None


async def _struck(fault: Fault, account: Account, patience: float) -> float:
    """What a fault does in mid-stream; the seconds it took."""
    if (end := fault.broken_off()) is not None:
        account.ended = "broken"
        raise end
    if fault.kind is Kind.STALL:
        await _silence(fault.seconds, patience)
    return fault.seconds


async def _silence(seconds: float, patience: float) -> None:
    if math.isinf(least := min(seconds, patience)):
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(least)
    if seconds > patience:
        raise Silent


def _block(digest: bytes, index: int, part: Part) -> Block:
    if part.tool is None:
        return Block(index)
    return Block(index, "tool_use", part.tool, f"toolu_{digest.hex()[:20]}{index:02}")
