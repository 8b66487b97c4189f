"""From cancel to the server seeing the closed connection: the door to models against the bare SDK.

    python benchmarks/cancel.py [--n 1000]

A narrator server runs in a process of its own; both sides stamp ``time.monotonic``. Each client
cancels ``n`` streams, interleaved in one run: a third once in mid-stream, a third twice, a third
before the first byte (some of those before the connection stands). Prints milliseconds, and what
is left open at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import platform
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import anthropic
import httpx2

from foretell.streams.anthropic_model import AnthropicModel
from foretell.streams.models import Delta, Message, Request
from foretell.streams.narrator.profiles import Profile
from foretell.streams.narrator.server import serve

KINDS = ("single", "double", "before first byte")
QUICK = Profile(
    "quick", "for this benchmark", math.inf, math.inf, ttft=0.002, tokens_per_second=200
)
LATE = "narrator-hosted-large"  # its first token takes 1.8 s, so the cancel is always before it

Texts = Callable[[str], AsyncIterator[str]]


async def serve_here() -> None:
    await serve(QUICK, announce=lambda url: print(url, flush=True), clock=time.monotonic)


def ours(model: AnthropicModel) -> Texts:
    async def texts(name: str) -> AsyncIterator[str]:
        request = Request(name, (Message("user", "Go on."),))
        async with contextlib.aclosing(model.stream(request)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    yield event.text

    return texts


def bare(client: anthropic.AsyncAnthropic) -> Texts:
    async def texts(name: str) -> AsyncIterator[str]:
        stream = await client.messages.create(
            model=name,
            max_tokens=400,
            messages=[{"role": "user", "content": "Go on."}],
            stream=True,
        )
        async for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                yield event.delta.text

    return texts


async def cancel_one(texts: Texts, kind: str, pause: float) -> tuple[float, float]:
    """Start a stream, cancel it as ``kind`` says; when it was started and when it was cancelled."""
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in texts("narrator" if kind != KINDS[2] else LATE):
            begun.set()

    started = time.monotonic()
    task = asyncio.create_task(read())
    if kind == KINDS[2]:
        await asyncio.sleep(pause)
    else:
        await begun.wait()
    cancelled = time.monotonic()
    task.cancel()
    if kind == "double":
        await asyncio.sleep(0)
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return started, cancelled


def _pool(client: anthropic.AsyncAnthropic | None) -> Any:
    transport: Any = client._client._transport if client else None
    return transport._pool


def row(name: str, values: list[float]) -> str:
    values = sorted(values)
    p99 = values[math.ceil(0.99 * len(values)) - 1]
    middle = statistics.median(values)
    return f"{name:28}{len(values):6}{middle:10.3f}{p99:10.3f}{values[-1]:10.3f}"


async def measure(url: str, n: int) -> None:
    model = AnthropicModel(url)
    await model.warm()
    http = httpx2.AsyncClient(trust_env=False)
    client = anthropic.AsyncAnthropic(base_url=url, api_key="none", max_retries=0, http_client=http)
    sides = {"door to models": ours(model), "bare SDK": bare(client)}
    for texts in sides.values():
        for _ in range(10):
            await cancel_one(texts, "single", 0)
    before = len(asyncio.all_tasks())
    rng = random.Random(0)
    runs: list[tuple[str, str, float, float]] = []
    for i in range(n):
        kind, pause = KINDS[i % 3], rng.uniform(0, 0.004)
        for side in sorted(sides, reverse=bool(i % 2)):
            runs.append((side, kind, *await cancel_one(sides[side], kind, pause)))
            await asyncio.sleep(0.002)
    await asyncio.sleep(0.2)
    pools = [len(_pool(c).connections) for c in (model._client, client)]
    account: dict[str, Any] = (await http.get(f"{url}/narrator/account")).json()
    seen: dict[tuple[str, str], list[float]] = {}
    unseen = 0
    for (side, kind, started, cancelled), following in zip(runs, [*runs[1:], None], strict=True):
        until = following[2] if following else math.inf
        mine = [r for r in account["requests"] if started <= r["opened"] < until]
        if mine and mine[0]["ended"] == "cancelled":
            seen.setdefault((side, kind), []).append((mine[0]["closed"] - cancelled) * 1000)
        else:
            unseen += 1  # cancelled before the request was sent
    print(f"{'milliseconds':28}{'n':>6}{'median':>10}{'p99':>10}{'max':>10}")
    whole: dict[str, list[float]] = {}
    for (side, kind), values in sorted(seen.items()):
        print(row(f"{side}, {kind}", values))
        whole.setdefault(side, []).extend(values)
    for side, values in sorted(whole.items()):
        print(row(f"{side}, all", values))
    door, sdk = (statistics.median(whole[side]) for side in ("door to models", "bare SDK"))
    print(f"ratio of medians, door to bare SDK: {door / sdk:.2f}")
    print(f"cancelled before the server saw a request: {unseen}")
    print(
        f"left: {account['open']} generations at the server, {sum(pools)} connections, "
        f"{len(asyncio.all_tasks()) - before} tasks"
    )
    await model.aclose()
    await client.close()


async def main(n: int) -> None:
    print(
        f"Python {platform.python_version()}, anthropic {anthropic.__version__}, {n} cancels each"
    )
    server = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--serve", stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    try:
        await measure((await server.stdout.readline()).decode().strip(), n)
    finally:
        server.terminate()
        await server.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=1000, help="cancels for each client")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve_here() if arguments.serve else main(arguments.n))
