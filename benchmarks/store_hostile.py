"""What a look-up costs, at worst, while the server answers rubbish without end.

    python benchmarks/store_hostile.py

Each kind of rubbish is asked for five times, each as if it were the first; the limit of a look-up
is that of the settings, 40 ms. The server is a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator

from foretell.sinks.store_shared import SharedCold

RUBBISH: dict[str, tuple[bytes, bytes]] = {
    "nothing": (b"", b""),
    "letters": (b"", b"x" * 100_000),
    "one long line": (b"+", b"x" * 100_000),
    "a text of 2 GB": (b"$2000000000\r\n", b"x" * 100_000),
    "an array of small numbers": (b"*1000000000\r\n", b":1\r\n" * 20_000),
    "an array of long numbers": (b"*1000000000\r\n", (b":" + b"9" * 4200 + b"\r\n") * 20),
    "an array of nothing": (b"*1000000000\r\n", b"$-1\r\n" * 20_000),
    "an array of errors": (b"*1000000000\r\n", b"-ERR x\r\n" * 20_000),
    "arrays within arrays": (b"", b"*1\r\n" * 20_000),
    "a map": (b"%1000000000\r\n", b"".join(b":%d\r\n:1\r\n" % n for n in range(20_000))),
    "what was not asked for": (b"", b">1\r\n:1\r\n" * 20_000),
}


@contextlib.contextmanager
def flooding(first: bytes, then: bytes) -> Iterator[int]:
    """A server that sends this to whoever asks anything, the second part without end; its port."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(one: socket.socket) -> None:
        with one, contextlib.suppress(OSError):
            one.recv(1000)
            one.sendall(first)
            while then:
                one.sendall(then)
            one.recv(1)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                one, _ = listening.accept()
                threading.Thread(target=serve, args=(one,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listening.getsockname()[1]
    listening.close()


async def worst_ms(kind: str, first: bytes, then: bytes) -> float:
    """The longest of five look-ups, in ms; none finds anything."""
    worst = 0.0
    with flooding(first, then) as port:
        cold = SharedCold(f"{kind}://127.0.0.1:{port}", wall=time.time)
        for _ in range(5):
            cold.door.again = 0.0  # as if it had answered until now
            begun = time.perf_counter()
            assert await cold.fetch("game:k") is None
            worst = max(worst, time.perf_counter() - begun)
        await cold.aclose()
    return 1e3 * worst


async def main() -> None:
    """Print it all."""
    logging.disable()
    for kind in ("redis", "memcached"):
        await worst_ms(kind, b"x", b"")  # what is imported first
        print(f"a look-up at a {kind} that answers, worst ms of 5")
        for name, (first, then) in RUBBISH.items():
            print(f"  {name:28} {await worst_ms(kind, first, then):6.1f}")


if __name__ == "__main__":
    asyncio.run(main())
