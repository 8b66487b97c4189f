"""Fetching what will be wanted, in parallel, into one file for each key and day."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from typing import Any, NamedTuple

import orjson

from ..errors import ConfigError
from ..named import named
from ..operators.predictors import Key
from ..progress import Step
from ..sinks.usage_store import UsageError
from ..whatif import target

__all__ = ["CACHE", "Fetch", "Fetched", "fetcher", "file_of", "warm"]

CACHE = "prefetch_cache"
"""The folder, in that of the history, of what warm-ups fetched."""

Fetch = Callable[[str, str], Any]
"""Takes ticker and module, returns plain JSON; it may be ``async``, else it runs in a thread."""

LONGEST = 50.0
"""Seconds that one fetch may take; a thread cannot be ended, but nobody waits for it any longer.

Less than the minute that a server's answer may take: it says what has hung, and what has not."""

GRACE = 1.0
"""Seconds that one that is cancelled may take for it, before nobody waits for that either."""

MOST_HUNG = 32
"""So many threads that nobody waits for any longer may run in a process, before none is begun."""

PLAIN = re.compile(r"[A-Za-z0-9.-]{1,40}")


class Fetched(NamedTuple):
    """What became of a key: the file it is in, or the error."""

    key: Key
    path: str | None
    error: str | None


def fetcher(name: str) -> Fetch:
    """The function that ``MODULE:FUNCTION`` names; the working folder's modules are known, too.

    What its module writes to stdout when it is imported goes to stderr, even from below Python.

    :raises ConfigError: if there is none.
    """
    with _unheard():
        found = named("--fetch", name, here=True)
    if not callable(found):
        raise ConfigError(f"--fetch {name}: is no function that takes ticker and module")
    return found  # type: ignore[no-any-return]


@contextmanager
def _unheard() -> Iterator[None]:
    with redirect_stdout(sys.stderr), ExitStack() as after:
        with suppress(OSError):  # there is no such descriptor
            kept = os.dup(1)
            after.callback(os.close, kept)
            after.callback(os.dup2, kept, 1)
            os.dup2(2, 1)
        yield


def file_of(key: Key, day: str) -> str:
    """The name of a key's file: ``AAPL_price_20260225.json``.

    Of a key with other than plain letters a digest is in the name, and no path.
    """
    name = "_".join(key)
    if not all(PLAIN.fullmatch(word) and word.strip(".") for word in key):
        digest = hashlib.sha256("\0".join(key).encode()).hexdigest()[:16]
        name = f"{re.sub('[^A-Za-z0-9-]+', '-', name)[:40]}_{digest}"
    return f"{name}_{day}.json"


async def warm(
    keys: Sequence[Key], fetch: Fetch, folder: str, day: str, jobs: int, step: Step
) -> list[Fetched]:
    """Fetch each key, ``jobs`` at a time. One that fails costs the others nothing.

    One that is not there in time has failed.
    When cancelled, so is what is ``async``; what runs in threads comes to its end by itself.

    :raises UsageError: if there can be no such folder.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from None
    room = asyncio.Semaphore(jobs)
    done = 0

    async def one(key: Key) -> Fetched:
        nonlocal done
        async with room:
            result = await _fetched(key, fetch, os.path.join(folder, file_of(key, day)))
        done += 1
        step(done)
        return result

    return await asyncio.gather(*map(one, keys))


async def _fetched(key: Key, fetch: Fetch, path: str) -> Fetched:
    """In a task of its own: whatever it raises, or does not end for, it alone has failed."""
    task = asyncio.create_task(_tried(key, fetch, path), name="fetch")
    try:
        await asyncio.wait({task}, timeout=LONGEST)
        if task.done():
            return task.result()
        return Fetched(key, None, f"it took longer than {LONGEST:g} s")
    finally:
        task.cancel()
        await asyncio.wait({task}, timeout=GRACE)


async def _tried(key: Key, fetch: Fetch, path: str) -> Fetched:
    try:
        target.write(path, orjson.dumps(await _called(fetch, key)))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return Fetched(key, None, _said(error))
    return Fetched(key, path, None)


def _said(error: BaseException) -> str:
    """What a stranger's error says, as a text that any answer can hold."""
    try:
        said = f"{type(error).__name__}: {error}"[:300]
    except Exception:  # not even that
        said = type(error).__name__
    return said.encode(errors="replace").decode().removesuffix(": ")


async def _called(fetch: Fetch, key: Key) -> Any:
    if inspect.iscoroutinefunction(fetch):
        return await fetch(*key)
    found = await _in_thread(fetch, key)
    return await found if inspect.isawaitable(found) else found  # of a lambda, or an object


_hung: set[threading.Thread] = set()


async def _in_thread(fetch: Fetch, key: Key) -> Any:
    """Call it in a thread of its own: one that hangs takes no place in the loop's pool of threads.

    Nor does it hold up the end of the process.
    """
    loop = asyncio.get_running_loop()
    found: asyncio.Future[Any] = loop.create_future()

    def settle(result: Any, error: BaseException | None) -> None:
        if not found.done():
            found.set_result(result) if error is None else found.set_exception(error)

    def run() -> None:
        result: Any = None
        error: BaseException | None = None
        try:
            result = fetch(*key)
        except StopIteration as stop:  # which no future takes
            error = RuntimeError(f"it raised {stop!r}")
        except BaseException as failure:
            error = failure
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, error)

    _hung.difference_update([thread for thread in _hung if not thread.is_alive()])
    if len(_hung) >= MOST_HUNG:
        raise TimeoutError(f"it is not begun, for {MOST_HUNG} before it have not come to an end")
    thread = threading.Thread(target=run, name=f"fetch {key}", daemon=True)
    thread.start()
    try:
        return await found
    except asyncio.CancelledError:
        _hung.add(thread)
        raise
