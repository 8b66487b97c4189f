"""Keys from the terminal, without blocking the loop; or nobody at all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator

if sys.platform != "win32":  # there the demo plays itself
    import termios
    import tty

__all__ = ["Keys", "Nobody", "keys"]


class Nobody:
    """No one is there: every wait lasts its whole time."""

    present = False

    async def key(self, seconds: float) -> str | None:
        """Wait, and press nothing."""
        await asyncio.sleep(seconds)
        return None


class Keys:
    """Someone at the keys of the terminal ``fd``, which must be in cbreak mode."""

    present = True

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._pressed: asyncio.Queue[str] = asyncio.Queue()

    async def key(self, seconds: float) -> str | None:
        """The next key, or ``None`` when so many seconds have passed."""
        try:
            async with asyncio.timeout(seconds):
                return await self._pressed.get()
        except TimeoutError:
            return None

    def read(self) -> None:
        """Take what was typed; the loop calls it when there is something."""
        typed = os.read(self._fd, 1024)
        if not typed:
            asyncio.get_running_loop().remove_reader(self._fd)
        for key in typed.decode("utf-8", "ignore").replace("\r", "\n"):
            self._pressed.put_nowait(key)


@contextlib.contextmanager
def keys() -> Iterator[Keys | Nobody]:
    """The keys of the terminal at standard input, given back as they were; else nobody."""
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield Nobody()
        return
    fd, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(fd)
    player = Keys(fd)
    try:
        tty.setcbreak(fd)
        loop.add_reader(fd, player.read)
        yield player
    finally:
        loop.remove_reader(fd)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
