"""Content from a folder of JSON files, read when a session opens and when it changes."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator
from contextlib import suppress
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import orjson

from ..errors import ConfigError, ForetellError
from .aside import aside
from .content import Ask, Library, kind_of

__all__ = ["JsonFolder"]

log = logging.getLogger("foretell")

MOST_BYTES = 64 * 1024 * 1024
PATIENCE = 5.0
"""Seconds to wait for another who reads; a disk that hangs must not gather threads."""
NAME = "foretell content"
"""Of its threads."""
Stamps = dict[Path, tuple[int, int]]


class JsonFolder:
    """A folder with a JSON file for each kind: ``lore.json``, ``5e-SRD-Monsters.json``.

    A file holds a list of objects with a ``name``, or content by name. A folder in it is a kind as
    well, with a file for each name: ``lore/old mill.json``. Files are read in a thread, and again
    when they have changed; :meth:`changes` tells of that. A file that cannot be read costs only
    its own kind, and is told in one line, as is a file or a folder with nothing in it.

    :param every: seconds between two looks whether a file has changed.
    :raises ConfigError: if there is no such folder.
    """

    def __init__(self, folder: str | PathLike[str], *, every: float = 2.0) -> None:
        self.folder = Path(fspath(folder))
        if not self.folder.is_dir():
            raise ConfigError(f"content: {self.folder} is no folder")
        self._every = every
        self._reading = threading.Lock()  # one reads, and the others have what it has read
        self._stamps: Stamps = {}
        self._library: Library | None = None
        self._broken: dict[str, ForetellError] = {}  # by kind

    async def find(self, ask: Ask) -> Any:
        """See :class:`~foretell.streams.content.ContentSource`.

        :raises ForetellError: if it is not there, and a file of its kind could not be read; the
            message names the file.
        """
        return await aside(lambda: self._find(ask), NAME)

    async def changes(self) -> AsyncGenerator[str, None]:
        """The kinds of which a file has changed, come or gone, as that is noticed.

        First it is all read, so that it is there when it is asked for.
        """
        known = await aside(self._look, NAME)
        with suppress(ForetellError):  # whoever asks for it is told
            await aside(self._current, NAME)
        while True:
            await asyncio.sleep(self._every)
            now = await aside(self._look, NAME)
            changed = {path for path in {**known, **now} if known.get(path) != now.get(path)}
            known = now
            for kind in sorted({self._kind(path) for path in changed}):
                yield kind

    def _find(self, ask: Ask) -> Any:
        found = self._current().find(ask)
        kinds = ("spell_list", "spell") if ask.kind == "spell_list" else (kind_of(ask.kind),)
        for error in [self._broken[kind] for kind in kinds if kind in self._broken]:
            if found is None:
                raise error
        return found

    def _kind(self, path: Path) -> str:
        return kind_of(path.stem if path.parent == self.folder else path.parent.name)

    def _look(self) -> Stamps:
        found: Stamps = {}
        for path in sorted((*self.folder.glob("*.json"), *self.folder.glob("*/*.json"))):
            try:
                about = path.stat()
            except OSError:
                continue  # it has just gone
            found[path] = about.st_mtime_ns, about.st_size
        return found

    def _current(self) -> Library:
        if not self._reading.acquire(timeout=PATIENCE):
            raise ForetellError(f"content: {self.folder} does not answer")
        try:
            stamps = self._look()
            if self._library is None or stamps != self._stamps:
                shelves: dict[str, Any] = {}
                self._broken = {}
                for path in stamps:
                    try:
                        self._put(shelves, path)
                    except ForetellError as error:
                        log.warning("%s", error)
                        self._broken[self._kind(path)] = error
                if not stamps:
                    log.warning("content: %s has no JSON file, so nothing is in it", self.folder)
                self._library, self._stamps = Library(shelves), stamps
            return self._library
        finally:
            self._reading.release()

    def _put(self, shelves: dict[str, Any], path: Path) -> None:
        """Put what a file holds on its shelf; several may be of one kind."""
        try:
            with path.open("rb") as file:
                raw = file.read(MOST_BYTES + 1)
            if len(raw) > MOST_BYTES:
                raise ValueError(f"is larger than {MOST_BYTES // 2**20} MiB")
            data = orjson.loads(raw)
        except (OSError, ValueError) as error:
            raise ForetellError(f"content: {path}: {error}") from None
        if path.parent != self.folder:
            data = {path.stem: data}
        elif not isinstance(data, dict | list):
            raise ForetellError(f"content: {path}: holds neither a list nor an object")
        entries = data if isinstance(data, dict) else _named(data)
        if not entries:
            log.warning("content: %s: nothing in it has a name", path)
        elif len(entries) < len(data):
            log.warning("content: %s: only %d of %d have names", path, len(entries), len(data))
        shelves.setdefault(self._kind(path), {}).update(entries)


def _named(entries: list[Any]) -> dict[str, Any]:
    """Objects by their name."""
    found: dict[str, Any] = {}
    for each in entries:
        name = each.get("name") or each.get("index") if isinstance(each, dict) else None
        if isinstance(name, str):
            found[name] = each
    return found
