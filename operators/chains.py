"""What followed runs of keys, apart for each actor, kind and side, within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .follows import Counts, twice
from .predictors import Token, frozen

__all__ = ["Chains", "Name", "Run"]

Run = tuple[Token, ...]
"""Keys that came one after the other, the newest first."""

Name = str | None
"""An actor, kind or side; ``None``: nobody was named."""

_Named = dict[Name, Token | Counts]
_Alike = tuple[tuple[Name, ...], Token | Counts]

CROWD = 4_096
"""So many names may have had one run; beyond, the half of them goes that had it least."""

NEW, SAME, OTHER = (0, 0, 0), (1, 1, 1), (0, 1, 1)


class Chains:
    """For each run, and each name that had it, how often each key came next.

    All names of a run are found at once. Most runs only one actor has: its kind and its side have
    the same counts then, and share them. Each costs O(1) on average. Runs are in two halves: those
    touched since the newer was begun, and the older ones; when the newer is full, the older goes.

    :param limit: the most pairs of run and name, or a crowd more.
    :param width: the most keys after one of them.
    """

    __slots__ = ("_crowd", "_half", "_many", "_newer", "_older", "_width")

    def __init__(self, limit: int = 200_000, width: int = 64, crowd: int = CROWD) -> None:
        self._newer: dict[Run, _Named | _Alike] = {}
        self._older: dict[Run, _Named | _Alike] = {}
        self._many = 0
        self._half = limit // 2
        self._width = width
        self._crowd = crowd

    def __repr__(self) -> str:
        return f"<Chains of {len(self._newer) + len(self._older)} runs>"

    def add(self, run: Run, names: tuple[Name, ...], key: Token) -> Sequence[tuple[int, int, int]]:
        """After ``run`` came ``key``, to each of these names.

        :return: what was known of each before: how often it did, how often any did, and how many
            did. Nothing at all where the run is new, and but one where all have the same.
        """
        group = self._newer.get(run)
        if group is None:
            group = self._older.pop(run, None)
            if self._many >= self._half:
                self._older, self._newer, self._many = self._newer, {}, 0
            if group is None:
                self._newer[run] = names, key
                self._many += len(names)
                return ()
            self._newer[run] = group
            self._many += len(group[0] if isinstance(group, tuple) else group)
        if isinstance(group, tuple):
            had, counts = group
            if had == names:
                if isinstance(counts, Counts):
                    return (counts.more(key, self._width),)
                self._newer[run] = names, twice(counts, key)
                return (SAME if counts == key else OTHER,)
            group = self._newer[run] = _apart(had, counts)
        known = []
        for name in names:
            counts = group.get(name)
            if counts is None:
                group[name] = key
                self._many += 1
                known.append(NEW)
            elif isinstance(counts, Counts):
                known.append(counts.more(key, self._width))
            else:
                known.append(SAME if counts == key else OTHER)
                group[name] = twice(counts, key)
        if len(group) > self._crowd:
            self._newer[run] = dict(sorted(group.items(), key=_often)[len(group) // 2 :])
        return known

    def after(self, run: Run) -> Mapping[Name, Token | Counts]:
        """For each name what came after it; a key alone came once."""
        group = self._newer.get(run)
        if group is None:
            group = self._older.get(run, {})
        return dict.fromkeys(*group) if isinstance(group, tuple) else group

    def to_json(self) -> list[Any]:
        """The older half and the newer: each run with what came after it, by name."""
        return [
            [
                [
                    run,
                    [
                        [name, [*each.items()] if isinstance(each, Counts) else [[each, 1]]]
                        for name, each in self.after(run).items()
                    ],
                ]
                for run in half
            ]
            for half in (self._older, self._newer)
        ]

    def restore(self, saved: Iterable[Any]) -> None:
        """Go on from what :meth:`to_json` gave.

        :raises ValueError: for counts that are none.
        """
        self._older, self._newer = (
            {frozen(run): _named(names) for run, names in half} for half in saved
        )
        self._many = sum(map(len, self._newer.values()))  # ints


def _apart(names: Iterable[Name], counts: Token | Counts) -> _Named:
    """The same for each, and from now on its own."""
    if isinstance(counts, Counts):
        return {name: Counts(counts.items()) for name in names}
    return dict.fromkeys(names, counts)


def _named(saved: Iterable[Any]) -> _Named | _Alike:
    return {name: Counts.of(each) for name, each in saved}


def _often(each: tuple[Name, Token | Counts]) -> int:
    return each[1].total if isinstance(each[1], Counts) else 1
