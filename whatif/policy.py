"""Policies to compare, as they are written on the command line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ..config import ELSEWHERE, Settings, how
from ..errors import ConfigError
from ..operators.predict import Intensity
from ..sinks.ledger import Price
from ..streams.narrator.profiles import profile

__all__ = ["Policy", "differences", "load_prices", "parse"]

SHORT = {"profile": "narrator_profile", "model": "main_model"}

FILE, PRICES = "settings", "prices"
"""What names a file: of settings, and of prices."""
PIECE = re.compile(r'(?:"[^"]*"|\[[^\]]*\]|\{[^}]*\}|[^,;])+|[,;]')


@dataclass(frozen=True, slots=True)
class Policy:
    """Settings under a name; ``price_list`` where it is not the one that ships.

    ``fixed`` are those it names, which then hold throughout.
    """

    name: str
    settings: Settings
    price_list: Mapping[str, Price] | None = None
    fixed: frozenset[str] = frozenset()


def parse(text: str, base: Settings, *, by: str = "--compare", fewest: int = 2) -> list[Policy]:
    """The policies of a list such as ``off;conservative,max_variants=3;prices=FILE``.

    A policy begins at each ``;`` and at each intensity; a ``NAME=VALUE`` belongs to the policy it
    stands in. What a policy does not say is as in its ``settings=FILE``, or else in ``base``. A
    value is a TOML value, ``none``, or a word.

    :param by: the option it was given to; ``fewest``: so many policies at least.
    :raises ConfigError: for an unknown name, a bad value, too few policies, or two alike.
    """
    policies = [_policy(parts, base) for parts in _split(text)]
    if len(policies) < fewest:
        raise ConfigError(f"{by}: {text!r} is not two policies; try off,conservative")
    for at, policy in enumerate(policies):
        for other in policies[:at]:
            if (policy.settings, policy.price_list) == (other.settings, other.price_list):
                raise ConfigError(
                    f"--compare: {other.name!r} and {policy.name!r} are the same policy; "
                    "leave one out"
                )
    return policies


def _split(text: str) -> Iterator[list[str]]:
    parts: list[str] = []
    for piece in [*PIECE.findall(text), ";"]:
        piece = piece.strip()
        ends = piece == ";"
        begins = piece in frozenset(Intensity)
        if begins and parts and all("=" in part for part in parts):
            raise ConfigError(
                f"--compare: put {piece!r} before {parts[0]!r} if they are one policy, "
                "or ';' between them if they are two"
            )
        if (ends or begins) and parts:
            yield parts
            parts = []
        if piece and piece not in {",", ";"}:
            parts.append(piece)


def _policy(parts: Sequence[str], base: Settings) -> Policy:
    values: dict[str, Any] = {}
    saved: dict[str, Any] = {}
    listed: Mapping[str, Price] | None = None
    known = [
        *(each for each in Settings.model_fields if each not in ELSEWHERE),
        *SHORT,
        FILE,
        PRICES,
    ]
    for part in parts:
        name, equals, raw = (each.strip() for each in part.partition("="))
        if not equals:
            if part not in frozenset(Intensity):
                raise ConfigError(
                    f"--compare: {part!r} is neither an intensity ({', '.join(Intensity)}) "
                    "nor NAME=VALUE"
                )
            name, raw = "intensity", part
        if name not in known:
            raise ConfigError(f"--compare: unknown setting {name!r}; known: {', '.join(known)}")
        name = SHORT.get(name, name)
        if name in values:
            raise ConfigError(f"--compare: {name} is set twice; put ';' between two policies")
        values[name] = raw if name == "intensity" else _value(raw)
        if name == PRICES:
            listed = load_prices(raw.strip('"'))
        if name == FILE:
            saved = how(raw.strip('"'))
    name = ",".join(parts)
    values = {**saved, **{name: values[name] for name in values if name not in (FILE, PRICES)}}
    try:
        settings = Settings.load({**base.model_dump(), **values})
        profile(settings.narrator_profile)
    except ConfigError as error:
        raise ConfigError(f"--compare: {name}: {str(error).removeprefix('settings: ')}") from None
    except ValueError as error:
        raise ConfigError(f"--compare: {name}: {error}") from None
    return Policy(name, settings, listed, frozenset(values))


def _value(raw: str) -> Any:
    if raw.lower() == "none":
        return None
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw


def load_prices(path: str) -> dict[str, Price]:
    """A price list from a file of the form of the one that ships, ``streams/prices.json``.

    That is ``{"models": {NAME: {"input": …, "output": …, "cache_read": …, "cache_write": …}}}``, in
    dollars per million tokens.

    :raises ConfigError: for a file that cannot be read, or is not of that form.
    """
    try:
        models = orjson.loads(Path(path).read_bytes())["models"]
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError):
        raise ConfigError(f'{path}: is not a price list: {{"models": {{NAME: …}}}}') from None
    found: dict[str, Price] = {}
    for name, row in models.items() if isinstance(models, dict) else ():
        columns = row if isinstance(row, dict) else {}
        prices: list[Any] = [columns.get(each) for each in Price.__slots__]
        for each, price in zip(Price.__slots__, prices, strict=True):
            if isinstance(price, bool) or not isinstance(price, (int, float)) or price < 0:
                raise ConfigError(
                    f"{path}: {name}: {each} must be dollars per million tokens, 0 or more"
                )
        found[name] = Price(*prices)
    if not found:
        raise ConfigError(f"{path}: names no model")
    return found


def differences(policies: Sequence[Policy]) -> list[str]:
    """The names of the settings in which not all are the same."""
    every = [policy.settings.model_dump() for policy in policies]
    return [name for name in every[0] if any(each[name] != every[0][name] for each in every)]
