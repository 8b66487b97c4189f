"""Importers: recordings of real games, made into session logs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..log import LogError, LogWriter, check_target
from . import fireball, nwn, showdown
from .common import ForeignFormatError, count

__all__ = ["FORMATS", "ForeignFormatError", "Format", "Summary", "convert_file"]


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of recording. ``convert(path, seed)`` gives the records of a log, in order."""

    about: str
    convert: Callable[[str | os.PathLike[str], int], list[dict[str, Any]]]


FORMATS: Mapping[str, Format] = {
    "fireball": Format(
        "FIREBALL raw.jsonl: D&D 5e combats on Discord with the Avrae bot", fireball.convert
    ),
    "nwn": Format("Neverwinter Nights client log", nwn.convert),
    "showdown": Format("Pokémon Showdown battle, in the engine's line protocol", showdown.convert),
}
"""The formats that can be imported, by name."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What an import found. ``duration`` is in seconds of session time.

    ``results`` counts the results of outcomes by word, for each test that decided them
    (``attack``, ``save``, ``attempt`` …), or type of action where no test did. ``left_out`` counts
    the lines of the recording that were out of place.
    """

    path: str
    session: str
    clock: str
    duration: float
    records: int
    kinds: dict[str, int]
    results: dict[str, dict[str, int]]
    left_out: int = 0


def convert_file(
    format: str, source: str | os.PathLike[str], target: str | os.PathLike[str], seed: int = 0
) -> Summary:
    """Import a recording into a session log (compressed if ``target`` ends in ``.gz``).

    The log is written beside ``target`` and renamed, so that it appears whole or not at all; a
    log that was there before is replaced, and nothing else is.

    :raises ForeignFormatError: if ``source`` is not of that format, or is ``target``.
    :raises LogError: if ``target`` cannot be written.
    """
    if format not in FORMATS:
        known = ", ".join(FORMATS)
        raise ForeignFormatError(source, 0, f"unknown format {format!r}; choose from: {known}")
    if os.path.exists(target) and os.path.exists(source) and os.path.samefile(source, target):
        raise ForeignFormatError(
            source, 0, "would be overwritten by its own import; choose another -o"
        )
    real = check_target(target, replaced=True)
    records = FORMATS[format].convert(source, seed)
    beside = Path(f"{real}.part{'.gz' if real.endswith('.gz') else ''}")
    beside.unlink(missing_ok=True)
    try:
        with LogWriter(beside, records[0], flush="end") as writer:
            for record in records[1:]:
                writer.write(record)
        beside.replace(real)
    except LogError as error:
        raise LogError(target, 0, error.reason) from None
    except OSError as error:
        raise LogError(target, 0, f"cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)
    kinds, results = count(records)
    header = records[0]
    return Summary(
        os.fspath(target),
        header["id"],
        header["clock"],
        records[-1]["t"],
        len(records),
        kinds,
        results,
        header.get("left_out", 0),
    )
