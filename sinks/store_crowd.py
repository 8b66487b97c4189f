"""Many states that differ in some numbers alone: whose are all near given ones, at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

__all__ = ["Crowd"]

T = TypeVar("T")

PLACES = 2047
"""So many places there are, of all numbers together: beyond them, places share their bits. So the
bits take some 256 bytes an item, wherever the items are."""
FEWEST = 33
NARROWEST = 1e-9


class Crowd(Generic[T]):
    """Items by their numbers.

    A line of numbers is cut into places half as wide as the tolerance. Of each place it is known
    who is near it, as the bits of one ``int``, a bit for an item: who is near in all numbers has
    a bit in all of them. That are as many steps as there are numbers, however many items there
    are, and each takes as long for a thousand items as for ten thousand, or nearly.

    ::

        1st number, place 20:  items {0, 3, 4, 7}     10011001
        2nd number, place 5:   items {3, 4, 5}      & 00111000
                                                    = 00011000: 3 and 4 are candidates

    :param tolerance: by how much each number may differ.
    :param numbers: how many each item has.
    """

    def __init__(self, tolerance: float, numbers: int) -> None:
        self._reach = tolerance * (1 + 1e-9)
        self._width = max(tolerance / 4, NARROWEST)
        self._places = max(FEWEST, PLACES // max(1, numbers) | 1)
        self._near: list[dict[int, int]] = [{} for _ in range(numbers)]
        self._items: list[T | None] = []
        self._bits: dict[T, int] = {}
        self._free: list[int] = []
        self._all = 0

    def add(self, item: T, numbers: Sequence[float]) -> None:
        """Know an item, which is not known yet, by its numbers."""
        if self._free:
            bit = self._free.pop()
            self._items[bit] = item
        else:
            bit = len(self._items)
            self._items.append(item)
        self._bits[item] = bit
        self._turn(bit, numbers)

    def discard(self, item: T, numbers: Sequence[float]) -> None:
        """Forget it; its numbers are those it was added with."""
        bit = self._bits.pop(item)
        self._items[bit] = None
        self._free.append(bit)
        self._turn(bit, numbers)

    def _turn(self, bit: int, numbers: Sequence[float]) -> None:
        """Turn an item's bit wherever what is near would look for it."""
        mask, reach, width = 1 << bit, self._reach, self._width
        self._all ^= mask
        for number, near in zip(numbers, self._near, strict=True):
            low, high = math.floor((number - reach) / width), math.floor((number + reach) / width)
            for at in range(low, high + 1):
                place = at % self._places
                if found := near.get(place, 0) ^ mask:
                    near[place] = found
                else:
                    del near[place]

    def candidates(self, numbers: Sequence[float]) -> Iterator[T]:
        """All that are within the tolerance, and some that are not quite."""
        bits = self._all
        for number, near in zip(numbers, self._near, strict=True):
            bits &= near.get(math.floor(number / self._width) % self._places, 0)
        while bits:
            last = bits.bit_length() - 1
            bits ^= 1 << last
            item = self._items[last]
            if item is not None:
                yield item
