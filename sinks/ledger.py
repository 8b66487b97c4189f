"""Every token and every dollar: used, saved, wasted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import orjson

__all__ = ["Account", "Ledger", "Price", "prices"]

MILLION = 1_000_000
CHARS_PER_TOKEN = 4.0

KEPT = 4096
"""Accounts that are kept one by one: far more than there are streams that may still be served."""


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million tokens."""

    input: float
    output: float
    cache_read: float
    cache_write: float


@dataclass(slots=True)
class Account:
    """One generation as billed. Counts are tokens; ``input`` is what no cache served."""

    purpose: str
    model: str
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    estimated: bool = False
    served: bool = False

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


class Ledger:
    """Accounts of all generations.

    A stream that was cancelled never reported its usage: what arrived is counted, in tokens by the
    ratio seen on finished ones, and marked estimated.

    :param price_list: dollars per model; a name that is not in it takes the longest one there that
        it begins with, and with none it costs nothing and is named in ``unpriced``.
    """

    def __init__(self, price_list: Mapping[str, Price] | None = None) -> None:
        self._prices = prices() if price_list is None else price_list
        self._accounts: dict[str, Account] = {}
        self._older: dict[tuple[str, str, bool, bool], Account] = {}
        self._chars = 0
        self._tokens = 0
        self._begun: dict[str, _Begun] = {}
        self.cancelled = 0
        self.unpriced: dict[str, None] = {}

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
            if chars:  # an answer of thoughts alone says nothing of text
                self._chars += chars
                self._tokens += output
        else:
            output = round(chars / self._chars_per_token)
        estimated = not finished or usage.input is None
        tokens_in = usage.input
        if tokens_in is None and generation.phase == "failed" and not chars:
            tokens_in, estimated = 0, False  # refused before it was read: nobody bills that
        elif tokens_in is None:
            tokens_in = _prompt_tokens(request)
        account = Account(
            str(request.purpose),
            request.model,
            tokens_in,
            output,
            usage.cache_read or 0,
            usage.cache_write or 0,
            estimated,
            generation.delivered,
        )
        self._enter(generation.id, account)
        return account

    def _enter(self, name: str, account: Account) -> None:
        """Keep an account, and add up those of long ago: what is kept does not grow for ever."""
        self._accounts[name] = account
        while len(self._accounts) > KEPT:
            old = self._accounts.pop(next(iter(self._accounts)))
            alike = (old.purpose, old.model, old.estimated, old.served)
            total = self._older.setdefault(
                alike,
                Account(old.purpose, old.model, estimated=old.estimated, served=old.served),
            )
            for field in ("input", "output", "cache_read", "cache_write"):
                setattr(total, field, getattr(total, field) + getattr(old, field))

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
            account.output = round(self._begun[name].chars / self._chars_per_token)
        elif kind == "~usage":
            begun = self._begun[name]
            begun.final = begun.final or bool(line.get("final"))
            begun.output = begun.output if line.get("output") is None else line["output"]
            for field in ("input", "cache_read", "cache_write"):
                if line.get(field) is not None:
                    setattr(account, field, line[field])
        elif kind == "~account":
            for field in ("input", "output", "cache_read", "cache_write", "estimated"):
                setattr(account, field, line[field])
            begun = self._begun.pop(name)
            self.cancelled += line["phase"] == "closed"
            if begun.chars and begun.final and begun.output is not None:
                self._chars += begun.chars
                self._tokens += begun.output
        elif kind == "~served":
            account.served = True

    @property
    def _chars_per_token(self) -> float:
        return self._chars / self._tokens if self._tokens else CHARS_PER_TOKEN

    def served(self, generation_id: str) -> None:
        """Some of this generation's text reached a viewer."""
        account = self._accounts.get(generation_id)
        if account is not None:
            account.served = True

    def affords(self, request: Any, cap: int, live: Iterable[Any]) -> bool:
        """True if a prefetch fits under ``cap`` tokens, with all under way at its fullest."""
        reserved = sum(  # ints
            _prompt_tokens(each.request) + each.request.max_tokens
            for each in live
            if each.phase in ("waiting", "running") and each.request.purpose == "prefetch"
        )
        asked = _prompt_tokens(request) + request.max_tokens
        return bool(self.tokens()["prefetch"] + reserved + asked <= cap)

    def dollars(self, account: Account) -> float:
        """What a generation cost at list price."""
        names = [name for name in self._prices if account.model.startswith(name)]
        if not names:
            self.unpriced[account.model] = None
            return 0.0
        price = self._prices[max(names, key=len)]
        return (
            account.input * price.input
            + account.output * price.output
            + account.cache_read * price.cache_read
            + account.cache_write * price.cache_write
        ) / MILLION

    @property
    def cost_usd(self) -> float:
        """Dollars of all generations so far."""
        total = 0.0
        for account in self._all():
            total += self.dollars(account)
        return total

    def _all(self) -> Iterator[Account]:
        yield from self._older.values()
        yield from self._accounts.values()

    def tokens(self) -> dict[str, int]:
        """Output and uncached input tokens, by purpose.

        Of the prefetched ones ``saved`` were served, so that the foreground did not have to ask
        for them, and of ``wasted`` nothing was served. ``estimated`` of all are not as billed.
        """
        totals = dict.fromkeys(
            ("prefetch", "refine", "foreground", "saved", "wasted", "estimated"), 0
        )
        for account in self._all():
            totals[account.purpose] += account.used
            if account.purpose == "prefetch":
                totals["saved" if account.served else "wasted"] += account.used
            if account.estimated:
                totals["estimated"] += account.used
        return totals


def _prompt_tokens(request: Any) -> int:
    asked = len(request.system) + sum(len(message.text) for message in request.messages)  # ints
    return round(asked / CHARS_PER_TOKEN)
