"""What followed runs of keys, apart for each actor, kind and side, within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .follows import Counts, once
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


class Chains:
    """For each run, and each name that had it, how often each key came next.

    All names of a run are found at once. Most runs only one actor has: its kind and its side have
    the same counts then, and share them. Each costs O(1) on average. Runs are in two halves: those
    touched since the newer was begun, and the older ones; when the newer is full, the older goes.

    :param limit: the most pairs of run and name, or a crowd more.
    """

    __slots__ = ("_crowd", "_half", "_many", "_newer", "_older")

    def __init__(self, limit: int = 200_000, crowd: int = CROWD) -> None:
        self._newer: dict[Run, _Named | _Alike] = {}
        self._older: dict[Run, _Named | _Alike] = {}
        self._many = 0
        self._half = limit // 2
        self._crowd = crowd

    def __repr__(self) -> str:
        return f"<Chains of {len(self._newer) + len(self._older)} runs>"

    def reach(self, run: Run, names: tuple[Name, ...], key: Token) -> Sequence[Counts | None]:
        """The counts of each of these names after ``run``: whoever asks counts ``key`` there.

        :return: ``None`` for a name that had no such run: it has now, with ``key``. Nothing at all
            where the run is new, and but one where all have the same.
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
            if had is names or had == names:
                if not isinstance(counts, Counts):
                    counts = once(counts)
                    self._newer[run] = names, counts
                return (counts,)
            group = self._newer[run] = _apart(had, counts)
        found: list[Counts | None] = []
        for name in names:
            counts = group.get(name)
            if counts is None:
                group[name] = key
                self._many += 1
                found.append(None)
            else:
                if not isinstance(counts, Counts):
                    counts = group[name] = once(counts)
                found.append(counts)
        if len(group) > self._crowd:
            more = [each for each, counts in zip(names, found, strict=True) if counts is not None]
            often = sorted(group.items(), key=lambda each: _often(each) + (each[0] in more))
            self._newer[run] = dict(often[len(group) // 2 :])
        return found

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
                        [name, [*each.keys.items()] if isinstance(each, Counts) else [[each, 1]]]
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
        return {name: Counts(dict(counts.keys), counts.total) for name in names}
    return dict.fromkeys(names, counts)


def _named(saved: Iterable[Any]) -> _Named | _Alike:
    return {name: Counts.of(each) for name, each in saved}


def _often(each: tuple[Name, Token | Counts]) -> int:
    return each[1].total if isinstance(each[1], Counts) else 1
