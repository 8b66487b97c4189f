"""Every token and every dollar: used, saved, wasted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

import orjson

__all__ = ["Account", "Ledger", "Price", "prices", "prompt_tokens"]

MILLION = 1_000_000
CHARS_PER_TOKEN = 4.0

REASONS = {"failed": "failed", "closed": "superseded", "done": "never asked"}
"""Why a speculation was wasted, by the phase it came to."""
EXPIRED = "expired"
SUPERSEDED = "superseded"
REFUSED = "refused"

Row = tuple[str, str, bool, bool, str]

KEPT = 4096
"""Accounts that are kept one by one: far more than there are streams that may still be served."""

ASKED_FOR = ("foreground", "plan", "refine", "summary")
"""Purposes of what is needed in any case; the others are speculation."""
TOLD = ("foreground", "summary")
"""Purposes of what is spent on the narrative with nothing prepared."""
OTHERWISE = ("plan", "refine", "summary")
"""Purposes of what is no telling: it says nothing of how long one is."""

COUNTS = ("input", "output", "cache_read", "cache_write")


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens."""

    input: float
    output: float
    cache_read: float
    cache_write: float


FREE = Price(0.0, 0.0, 0.0, 0.0)


@dataclass(slots=True)
class Account:
    """One generation as billed. Counts are tokens; ``input`` is what no cache served.

    ``reason``: why it was wasted, if it was a speculation and nothing of it is served; ``share``:
    how much of its output is, if some is. The rest of that nobody has asked for.
    """

    purpose: str
    model: str
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    estimated: bool = False
    served: bool = False
    reason: str = ""
    share: float = 1.0

    @property
    def used(self) -> int:
        """Output and uncached input tokens."""
        return self.input + self.cache_write + self.output


@cache
def prices() -> Mapping[str, Price]:
    """The dated price list that ships with Foretell, by model name."""
    raw = orjson.loads(resources.files("foretell.streams").joinpath("prices.json").read_bytes())
    return {
        name: Price(row["input"], row["output"], row["cache_read"], row["cache_write"])
        for name, row in raw["models"].items()
    }


class _Begun:
    """A stream of a recording, until its account is found in it."""

    def __init__(self, line: Mapping[str, Any]) -> None:
        self.purpose = str(line["purpose"])
        self.model = str(line["model"])
        self.prompt = int(line.get("prompt", 0))
        self.chars = 0
        self.output: int | None = None
        self.final = False
        self.reason = ""


class Ledger:
    """Accounts of all generations.

    A stream that was cancelled never reported its usage: what arrived is counted, in tokens by the
    ratio seen on finished ones, and marked estimated.

    :param price_list: dollars per model; a name that is not in it takes the longest one there that
        it begins with, and with none it costs nothing and is named in ``unpriced``.
    """

    def __init__(self, price_list: Mapping[str, Price] | None = None) -> None:
        self._prices = prices() if price_list is None else price_list
        self._known_prices: dict[str, Price | None] = {}  # by model: asked for with every choice
        self._accounts: dict[str, Account] = {}
        self._rows: dict[Row, Account] = {}  # all of them, added up
        self._streams: dict[Row, int] = {}
        self._totals: dict[str | None, float] = {}  # in all, till more is booked
        self._written: dict[str, tuple[int, int]] = {}  # by model: characters and tokens
        self._tokens = 0
        self._finished = 0
        self._begun: dict[str, _Begun] = {}
        self.cancelled = 0
        self._at_turn: tuple[int, float] = (0, 0.0)
        self.unpriced: dict[str, None] = {}
        self.heard = {"~guard": lambda t, line: self._on_guard(line)}
        """Who listens to which lines of the recording: their time in seconds, and their fields."""

    def add(self, generation: Any) -> Account | None:
        """Enter a generation that has ended; one that never began costs nothing, and has none."""
        if generation.opened_at is None:
            return None
        usage, request = generation.usage, generation.request
        chars = sum(map(len, generation.text.items))  # ints
        self.cancelled += generation.phase == "closed"
        finished = usage.final and usage.output is not None
        if finished:
            output = usage.output
            if chars and request.purpose not in OTHERWISE:
                self._calibrate(request.model, chars, output)
        else:
            output = round(chars / self._chars_per_token(request.model))
        estimated = not finished or usage.input is None
        tokens_in = usage.input
        if tokens_in is None and generation.phase == "failed" and not chars:
            tokens_in, estimated = 0, False  # refused before it was read: nobody bills that
        elif tokens_in is None:
            tokens_in = prompt_tokens(request)
        account = Account(
            str(request.purpose),
            request.model,
            tokens_in,
            output,
            usage.cache_read or 0,
            usage.cache_write or 0,
            estimated,
            generation.delivered,
            _reason(generation.reason, generation.phase),
            generation.share,
        )
        self._enter(generation.id, account)
        return account

    def _enter(self, name: str, account: Account) -> None:
        """Keep an account, as long as it may change; what is kept does not grow for ever."""
        self._accounts[name] = account
        self._book(account, 1)
        while len(self._accounts) > KEPT:
            del self._accounts[next(iter(self._accounts))]

    def _book(self, account: Account, sign: int) -> None:
        """Add an account to its row, or take it out again. Only ints: the order does not matter."""
        self._totals.clear()
        rest = round(account.output * (1 - account.share)) if account.served else 0
        reason = "" if account.served or account.purpose in ASKED_FOR else account.reason
        row = self._row(account, account.served, reason, sign)
        row.input += sign * account.input
        row.output += sign * (account.output - rest)
        row.cache_read += sign * account.cache_read
        row.cache_write += sign * account.cache_write
        if rest:
            self._row(account, False, REASONS["done"]).output += sign * rest

    def _row(self, account: Account, served: bool, reason: str, streams: int = 0) -> Account:
        alike = (account.purpose, account.model, account.estimated, served, reason)
        row = self._rows.get(alike)
        if row is None:
            row = replace(account, input=0, output=0, cache_read=0, cache_write=0, served=served)
            self._rows[alike] = row
        self._streams[alike] = self._streams.get(alike, 0) + streams
        return row

    def _change(self, account: Account, **now: Any) -> None:
        self._book(account, -1)
        for field, value in now.items():
            setattr(account, field, value)
        self._book(account, 1)

    def restore(self, line: Mapping[str, Any]) -> None:
        """Take in a recording's lines of model streams.

        Of a stream that a crash has broken off, what had arrived is counted, and estimated.
        """
        kind, name = line["kind"], line.get("generation", "")
        account = self._accounts.get(name)
        if kind == "~generation":
            self._begun[name] = _Begun(line)
        elif kind == "~asked" and name in self._begun:
            begun = self._begun[name]
            prompt = round(begun.prompt / CHARS_PER_TOKEN)
            self._enter(name, Account(begun.purpose, begun.model, prompt, estimated=True))
        elif account is None:
            if kind == "~ended":
                self._begun.pop(name, None)  # it never began
        elif kind == "~chunk":
            self._begun[name].chars += len(line["text"])
            written = round(self._begun[name].chars / self._chars_per_token(account.model))
            self._change(account, output=written)
        elif kind == "~usage":
            begun = self._begun[name]
            begun.final = begun.final or bool(line.get("final"))
            begun.output = begun.output if line.get("output") is None else line["output"]
            read = ("input", "cache_read", "cache_write")
            known = {each: line[each] for each in read if line.get(each) is not None}
            self._change(account, **known)
        elif kind == "~ended":
            self._begun[name].reason = str(line.get("reason"))
        elif kind == "~account":
            known = {each: line[each] for each in (*COUNTS, "estimated")}
            known["share"] = line.get("share", 1.0)
            begun = self._begun.pop(name)
            self._change(account, **known, reason=_reason(begun.reason, line["phase"]))
            self.cancelled += line["phase"] == "closed"
            told = begun.chars and begun.purpose not in OTHERWISE
            if told and begun.final and begun.output is not None:
                self._calibrate(begun.model, begun.chars, begun.output)
        elif kind == "~served":
            self._change(account, served=True, share=line.get("share", 1.0))
        elif kind == "~revoked":
            self.wasted(name, SUPERSEDED)
        elif kind == "~guard":
            self._on_guard(line)

    def _on_guard(self, line: Mapping[str, Any]) -> None:
        if line["refused"] is not None:
            self.wasted(line["generation"], REFUSED)

    def _calibrate(self, model: str, chars: int, tokens: int) -> None:
        before = self._written.get(model, (0, 0))
        self._written[model] = before[0] + chars, before[1] + tokens
        self._tokens += tokens
        self._finished += 1

    def _chars_per_token(self, model: str) -> float:
        """As it was with this model; or with all, or by the rule of thumb, where none is known."""
        chars, tokens = self._written.get(model, (0, 0))
        if not tokens:
            chars, tokens = sum(each for each, _ in self._written.values()), self._tokens  # ints
        return chars / tokens if tokens else CHARS_PER_TOKEN

    def served(self, generation_id: str, share: float = 1.0) -> None:
        """Some of this generation's text reached a viewer, and so much of all its output."""
        account = self._accounts.get(generation_id)
        if account is not None:
            self._change(account, served=True, share=share)

    def wasted(self, generation_id: str, reason: str) -> None:
        """It is known better why nobody is told of it: the world changed, or its time is up."""
        account = self._accounts.get(generation_id)
        if account is not None:
            self._change(account, reason=reason)

    def affords(self, request: Any, cap: int, live: Iterable[Any]) -> bool:
        """True if a prefetch fits under ``cap`` tokens, with all under way at its fullest."""
        reserved = sum(  # ints
            prompt_tokens(each.request) + each.request.max_tokens
            for each in live
            if each.phase in ("waiting", "running") and each.request.purpose == "prefetch"
        )
        asked = prompt_tokens(request) + request.max_tokens
        rows = self._rows.values()
        spent = sum(row.used for row in rows if row.purpose == "prefetch")  # ints
        return bool(spent + reserved + asked <= cap)

    def dollars(self, account: Account, model: str | None = None) -> float:
        """What a generation cost at list price, or would have cost with another ``model``."""
        price = self._price(account.model if model is None else model)
        return 0.0 if price is None else _dollars(account, price)

    def _price(self, model: str) -> Price | None:
        if model not in self._known_prices:
            names = [name for name in self._prices if model.startswith(name)]
            self._known_prices[model] = self._prices[max(names, key=len)] if names else None
        price = self._known_prices[model]
        if price is None:
            self.unpriced[model] = None
        return price

    @property
    def cost_usd(self) -> float:
        """Dollars of all generations so far."""
        if None not in self._totals:
            self._totals[None] = math.fsum(self.dollars(row) for row in self._rows.values())
        return self._totals[None]

    @property
    def told_usd(self) -> float:
        """The same without plans: what the narrative has cost."""
        if "" not in self._totals:
            rows = (row for row in self._rows.values() if row.purpose != "plan")
            self._totals[""] = math.fsum(self.dollars(row) for row in rows)
        return self._totals[""]

    def billed(self) -> tuple[int, float]:
        """Tokens and dollars so far, as a cap counts them: without a price, as the dearest."""
        rows = self._rows.values()
        tokens = sum(row.used for row in rows)  # ints
        return tokens, math.fsum(self.bill(row)[1] for row in rows)

    def bill(self, account: Account) -> tuple[int, float]:
        """The same of one account."""
        return account.used, _dollars(account, self._capped(account.model))

    def most(self, request: Any) -> tuple[int, float]:
        """The most a request may cost, as a cap counts it."""
        price, prompt = self._capped(request.model), prompt_tokens(request)
        read = max(price.input, price.cache_write)
        usd = (prompt * read + request.max_tokens * price.output) / MILLION
        return prompt + request.max_tokens, usd

    def on_turn(self) -> None:
        """A turn begins: what is billed from here on is its own."""
        self._at_turn = self.billed()

    def of_turn(self) -> tuple[int, float]:
        """What was billed since the turn began."""
        tokens, usd = self.billed()
        return tokens - self._at_turn[0], max(0.0, usd - self._at_turn[1])

    def _capped(self, model: str) -> Price:
        price = self._price(model)
        if price is None:
            return max(self._prices.values(), key=lambda each: each.output, default=FREE)
        return price

    def without(self, main: str) -> float:
        """Dollars that all that was told had cost, if ``main`` had written it when it was asked."""
        if main not in self._totals:
            self._totals[main] = math.fsum(
                self.dollars(row, main if row.purpose == "prefetch" else None)
                for row in self._rows.values()
                if row.purpose in TOLD or (row.served and row.purpose == "prefetch")
            )
        return self._totals[main]

    def expected(self, request: Any, usual: float, model: str) -> float:
        """Dollars a request is likely to cost: its prompt, and an answer as long as they were.

        :param usual: tokens of an answer, before one has come.
        :param model: who is to be asked.
        """
        price = self._price(model)
        if price is None:
            return 0.0
        output = (usual + self._tokens) / (1 + self._finished)
        return (prompt_tokens(request) * price.input + output * price.output) / MILLION

    def saved_usd(self, main: str) -> float:
        """Dollars ``main`` would have cost for what was served from speculation [0-20]."""
        return math.fsum(
            self.dollars(row, main)
            for row in self._rows.values()
            if row.purpose not in ASKED_FOR and row.served
        )

    def rows(self) -> list[dict[str, Any]]:
        """All streams by purpose, model and what became of them, as plain JSON.

        ``fate`` is ``told``, or of a speculation why it was wasted: ``superseded``, ``expired``,
        ``never asked``, ``refused`` (by the game's guard) or ``failed``; what was asked for, and
        nobody was told of, is ``untold``.
        ``estimated`` are tokens that no server has billed.
        """
        found: dict[tuple[str, str, str], dict[str, Any]] = {}
        for alike in sorted(self._rows):
            row, (purpose, model, estimated, served, reason) = self._rows[alike], alike
            if not (self._streams[alike] or row.output):
                continue
            fate = "told" if served else reason or "untold"
            blank = {"purpose": purpose, "model": model, "fate": fate, "streams": 0}
            blank |= dict.fromkeys((*COUNTS, "estimated"), 0) | {"usd": 0.0}
            line = found.setdefault((purpose, model, fate), blank)
            line["streams"] += self._streams[alike]
            for field in COUNTS:
                line[field] += getattr(row, field)
            line["estimated"] += row.used if estimated else 0
            line["usd"] = round(line["usd"] + self.dollars(row), 6)
        return [*found.values()]

    def tokens(self) -> dict[str, int]:
        """Output and uncached input tokens, by purpose.

        Of the prefetched ones ``saved`` were served, so that the foreground did not have to ask
        for them, and of ``wasted`` nothing was served. ``estimated`` of all are not as billed.
        """
        totals = dict.fromkeys(
            ("prefetch", "refine", "foreground", "plan", "saved", "wasted", "estimated"), 0
        )
        for account in self._rows.values():
            totals[account.purpose] = totals.get(account.purpose, 0) + account.used
            if account.purpose == "prefetch":
                totals["saved" if account.served else "wasted"] += account.used
            if account.estimated:
                totals["estimated"] += account.used
        return totals


def _reason(closed_for: str | None, phase: str) -> str:
    return EXPIRED if closed_for == EXPIRED else REASONS[phase]


def _dollars(account: Account, price: Price) -> float:
    return (
        account.input * price.input
        + account.output * price.output
        + account.cache_read * price.cache_read
        + account.cache_write * price.cache_write
    ) / MILLION


def prompt_tokens(request: Any) -> int:
    """The tokens of a prompt, by its characters."""
    asked = len(request.system) + sum([len(message.text) for message in request.messages])  # ints
    return round(asked / CHARS_PER_TOKEN)
