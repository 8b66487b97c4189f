"""A guard of a simulated world: what it lets through is all that anybody may be shown."""

from __future__ import annotations

import asyncio
from collections import Counter
from zlib import crc32

from .moods import GuestError
from .stamps import Stamp

__all__ = ["Sentinel"]

Said = tuple[int, str, str, str]


class Sentinel:
    """Judges stamped texts, well or badly: it refuses some, raises, dawdles, or says nothing.

    What it thinks of a text follows from what that is about and who wrote it, however often it is
    asked, so that a history with a step taken out plays the rest as it was.

    :param seed: decides all of it.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.passed: set[Said] = set()
        """What was let through."""
        self.met: Counter[str] = Counter()
        """How often it did what."""

    def mood(self, text: str) -> str:
        """What becomes of a text."""
        drawn = min((self._drawn(said) for said in said_in(text)), default=99)
        for most, mood in ((8, "refuses"), (10, "raises"), (12, "hangs"), (40, "dawdles")):
            if drawn < most:
                return mood
        return "passes"

    def _drawn(self, said: Said) -> int:
        return crc32(f"{self.seed} {said}".encode()) % 100

    async def __call__(self, text: str) -> str | None:
        """The verdict."""
        mood = self.mood(text)
        self.met[f"guard {mood}"] += 1
        match mood:
            case "raises":
                raise GuestError("a guard's own fault")
            case "hangs":
                await asyncio.get_running_loop().create_future()
            case "dawdles":
                await asyncio.sleep(0.05 + crc32(text.encode()) % 100 / 100)
        if mood == "refuses":
            return "not at this table"
        self.passed.update(said_in(text))
        return None


def said_in(text: str) -> list[Said]:
    """Who said what of whom, numbers aside: they are filled in after it was judged.

    A stamp that has the end of a sentence in it is judged in two, and is left out.
    """
    whole = (each for each in Stamp.read(text) if not each.action.endswith("?"))
    return [(each.stream, each.actor, each.action, each.target) for each in whole]
