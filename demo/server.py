"""The model's server in the demo: a narrator of its own in another process, or the visitor's."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import orjson

from ..errors import ForetellError
from ..streams.narrator.engine import Engine

__all__ = ["EngineAccounts", "HttpAccounts", "narrator"]

PATIENCE = 3.0


@contextmanager
def narrator(profile: str, seed: int) -> Iterator[str]:
    """``foretell narrator`` in a process of its own, for as long as the block lasts; its URL.

    :raises ForetellError: if it cannot be started; the message says why.
    """
    if any(find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise ForetellError(
            'the narrator\'s server needs: pip install "foretell[server]"; '
            "or play without it: foretell demo --fast"
        )
    # -P: what lies in the current folder is not ours to run.
    command = [sys.executable, "-P", "-m", "foretell", "narrator", "--port", "0"]
    command += ["--profile", profile, "--seed", str(seed)]
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and words of our own
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            import anthropic  # noqa: F401 - takes over a second, and the server starts meanwhile

            url = process.stdout.readline().strip()
            if not url.startswith("http://"):
                said = process.stderr.read().strip().splitlines() or [url]
                why = said[-1].removeprefix("foretell: error: ")
                raise ForetellError(f"the narrator did not start: {why}")
            yield url
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
    except BaseException:  # a second Ctrl-C
        process.kill()
        raise


class HttpAccounts:
    """The account a narrator keeps, asked for over HTTP; other servers keep none.

    :param url: the server's address; ``None`` for one that is no narrator for sure.
    """

    def __init__(self, url: str | None) -> None:
        self._url = url and f"{url.rstrip('/')}/narrator/account"

    async def closed_since(self, t: float) -> list[float] | None:
        """See :class:`~.race.Accounts`."""
        loop = asyncio.get_running_loop()
        asked = loop.time()
        account = await asyncio.to_thread(self._fetch)
        if account is None:
            return None
        # Clocks of two processes: the same on most systems; where not, as far apart as it looks.
        answered = loop.time()
        apart = account["now"] - (asked + answered) / 2
        apart = apart if abs(apart) > answered - asked else 0.0
        closed = [
            request["closed"] - apart - t
            for request in account["requests"]
            if request["ended"] == "cancelled"
        ]
        return [each for each in closed if each >= 0]

    def _fetch(self) -> dict[str, Any] | None:
        if self._url is None:
            return None
        opener = build_opener(ProxyHandler({}))
        try:
            with opener.open(self._url, timeout=PATIENCE) as answer:
                account = orjson.loads(answer.read())
        except (URLError, OSError, ValueError):
            return None
        return account if isinstance(account, dict) and "requests" in account else None


class EngineAccounts:
    """The account of a narrator in this process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def closed_since(self, t: float) -> list[float] | None:
        """See :class:`~.race.Accounts`."""
        return [
            account.closed - t
            for account in self._engine.accounts
            if account.ended == "cancelled" and account.closed is not None and account.closed >= t
        ]
