"""What the narrator's server knows of the requests it was sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Account", "Totals"]


@dataclass(slots=True)
class Account:
    """What became of one request. Times are seconds on the engine's ``clock``.

    ``ended`` is ``broken`` where a fault ended it, ``fault`` what went wrong on purpose.
    """

    request: str
    model: str
    opened: float
    first_token: float | None = None
    closed: float | None = None
    ended: Literal["open", "finished", "cancelled", "refused", "broken"] = "open"
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    fault: str | None = None


@dataclass(slots=True)
class Totals:
    """Sums over every account since the engine was made, those no longer kept included."""

    opened: int = 0
    finished: int = 0
    cancelled: int = 0
    refused: int = 0
    broken: int = 0
    input: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0

    def add(self, account: Account) -> None:
        """Take in a request that is over; of one that was refused, no token counts."""
        match account.ended:
            case "finished":
                self.finished += 1
            case "broken":
                self.broken += 1
            case "refused":
                self.refused += 1
                account.input = account.cache_read = account.cache_write = 0
            case _:
                self.cancelled += 1
        self.input += account.input
        self.cache_read += account.cache_read
        self.cache_write += account.cache_write
        self.output += account.output
