"""Which entries depend on what, so that a change finds them without looking at the others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

from ..streams.footprint import Path

__all__ = ["PathIndex", "TagIndex", "fits", "needs_regex"]

MAGIC = re.compile(r"[*?[]")

T = TypeVar("T")


class _Node(Generic[T]):
    __slots__ = ("below", "here")

    def __init__(self) -> None:
        self.here: dict[T, None] = {}
        self.below: dict[str, _Node[T]] = {}

    def all(self) -> Iterator[T]:
        yield from self.here
        for node in self.below.values():
            yield from node.all()


class PathIndex(Generic[T]):
    """Things by the paths of the state they depend on."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, item: T, paths: Iterable[Path]) -> None:
        """Know an item by its paths."""
        for path in paths:
            node = self._root
            for key in path:
                found = node.below.get(key)
                if found is None:
                    found = node.below[key] = _Node()
                node = found
            node.here[item] = None

    def discard(self, item: T, paths: Iterable[Path]) -> None:
        """Forget it."""
        for path in paths:
            way = [self._root]
            for key in path:
                node = way[-1].below.get(key)
                if node is None:
                    break
                way.append(node)
            else:
                way[-1].here.pop(item, None)
            for above, key, node in reversed([*zip(way, path, way[1:], strict=False)]):
                if node.here or node.below:
                    break
                del above.below[key]

    def touched(self, path: Path) -> list[T]:
        """What depends on a path, on what it lies in, or on anything inside it; each once."""
        found: dict[T, None] = dict(self._root.here)
        node = self._root
        for key in path:
            inner = node.below.get(key)
            if inner is None:
                return list(found)
            node = inner
            found |= node.here
        found |= dict.fromkeys(node.all())
        return list(found)


def needs_regex(pattern: str) -> bool:
    """Whether there is more in a pattern than ``*``; then it is made a regex, which takes long."""
    return "?" in pattern or "[" in pattern


def fits(name: str, pattern: str) -> bool:
    """Whether a glob pattern fits a name: ``*``, ``?`` and ``[…]``; case counts."""
    if needs_regex(pattern):
        return fnmatchcase(name, pattern)
    first, *rest = pattern.split("*")
    if not rest:
        return name == first
    last, end = rest[-1], len(name) - len(rest[-1])
    at = len(first)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for each in filter(None, rest[:-1]):
        at = name.find(each, at, end) + len(each)
        if at < len(each):
            return False
    return True


class TagIndex(Generic[T]):
    """Things by the words they are tagged with."""

    def __init__(self) -> None:
        self._tagged: dict[str, dict[T, None]] = {}

    def fitting(self, pattern: str) -> list[T]:
        """What has a tag that a glob pattern fits: ``*``, ``?`` and ``[…]``; case counts.

        A pattern without those is looked up; one that is a tag itself fits that one as well.
        """
        magic = MAGIC.search(pattern)
        if magic is None:
            return self.of(pattern)
        tags = [tag for tag in self._tagged if fits(tag, pattern)]
        return list(dict.fromkeys(item for tag in (pattern, *tags) for item in self.of(tag)))

    def add(self, item: T, tags: Iterable[str]) -> None:
        """Know an item by its tags."""
        for tag in tags:
            self._tagged.setdefault(tag, {})[item] = None

    def discard(self, item: T, tags: Iterable[str]) -> None:
        """Forget it."""
        for tag in tags:
            tagged = self._tagged.get(tag)
            if tagged is not None:
                tagged.pop(item, None)
                if not tagged:
                    del self._tagged[tag]

    def of(self, tag: str) -> list[T]:
        """What has a tag."""
        return list(self._tagged.get(tag, ()))
