"""What every importer needs: the error for a wrong file, ids, and lines in order of time."""

from __future__ import annotations

import gzip
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...errors import ForetellError

__all__ = ["ForeignFormatError", "Ids", "Lines", "count", "foreign_lines", "slug"]


class ForeignFormatError(ForetellError):
    """A file is not a recording of the format asked for. One line: file, line, reason, what to do.

    ``line`` is 0 where the file as a whole is meant.
    """

    def __init__(self, path: str | os.PathLike[str], line: int, reason: str) -> None:
        self.path, self.line, self.reason = os.fspath(path), line, reason
        super().__init__(
            f"{self.path}: line {line}: {reason}" if line else f"{self.path}: {reason}"
        )


def foreign_lines(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a UTF-8 text file, plain or gzip, without their ends.

    :raises ForeignFormatError: if there is none, or it is not text.
    """
    name = os.fspath(path)
    try:
        data = Path(name).read_bytes()
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        raise ForeignFormatError(name, 0, "no such file; check the path") from None
    except IsADirectoryError:
        raise ForeignFormatError(name, 0, "is a directory; name the recording in it") from None
    except (gzip.BadGzipFile, EOFError):
        raise ForeignFormatError(name, 0, "damaged gzip data; fetch the file again") from None
    except OSError as error:
        raise ForeignFormatError(name, 0, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ForeignFormatError(
            name, 0, "is not UTF-8 text; check that it is the recording"
        ) from None
    if not text.strip():
        raise ForeignFormatError(name, 0, "is empty; check that it is the recording")
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if re.match(r'\{.*"kind": ?"session"', lines[0]):
        raise ForeignFormatError(name, 1, "is a session log already; use it as it is")
    return lines


def slug(name: str) -> str:
    """A readable id: ``"Mozzie Urahaka"`` becomes ``mozzie-urahaka``."""
    plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
    plain = re.sub(r"'", "", plain)
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "x"


class Ids:
    """One id for each key: the slug of its name, numbered where two share it."""

    def __init__(self) -> None:
        self._by_key: dict[str, str] = {}
        self._taken: set[str] = set()

    def of(self, key: str, name: str | None = None) -> str:
        """The id of ``key``, made from ``name`` the first time."""
        if key not in self._by_key:
            base = found = slug(name or key)
            number = 2
            while found in self._taken:
                found, number = f"{base}-{number}", number + 1
            self._taken.add(found)
            self._by_key[key] = found
        return self._by_key[key]


class Lines:
    """The log being made: a list of records whose ``t`` never decreases."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.now = 0.0

    def add(self, t: float, kind: str, **fields: Any) -> None:
        """Append a record; fields that are ``None`` are left out."""
        self.now = max(self.now, round(t, 6))
        present = {key: value for key, value in fields.items() if value is not None}
        self.records.append({"t": self.now, "kind": kind, **present})

    def take_back(self, t: float, action_id: str, actor: str, turn: str | None = None) -> None:
        """Append the line that takes a declared action back."""
        self.add(t, "action", action_id=action_id, turn=turn, actor=actor)
        self.records[-1]["action"] = None

    def before(self, t: float) -> float:
        """The time of the last record that is earlier than ``t``; 0 if there is none."""
        return next((r["t"] for r in reversed(self.records) if r["t"] < t), 0.0)


def count(records: Iterable[dict[str, Any]]) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """How many records there are of each kind, and how many results of each word.

    Results are grouped by the test that decided them (``attack``, ``save``, ``attempt`` …), or
    by the type of their action where none did.
    """
    kinds: dict[str, int] = {}
    results: dict[str, dict[str, int]] = {}
    actions: dict[str, str] = {}
    for record in records:
        kinds[record["kind"]] = kinds.get(record["kind"], 0) + 1
        action = record.get("action")
        if record["kind"] == "action" and action:
            actions[record["action_id"]] = action["type"]
        elif record["kind"] == "outcome":
            other = action["type"] if action else actions.get(record["action_id"], "other")
            for entry in record["results"]:
                group = results.setdefault(entry.get("values", {}).get("test", other), {})
                group[entry["result"]] = group.get(entry["result"], 0) + 1
    return kinds, results
