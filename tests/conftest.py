"""What every test runs under: virtual time, no leaks, no warnings, no one's real credentials."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from foretell.streams.clock import VirtualLoop

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parent.parent
CI = os.environ.get("CI") == "true"
FAILED = pytest.StashKey[bool]()

# No test may depend on how fast the machine is; in CI the examples are the same each time.
settings.register_profile("house", deadline=None, derandomize=CI)
settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "real_time: runs on an ordinary event loop (for sockets)")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what it does not wait
        signal.signal(signal.SIGINT, signal.default_int_handler)  # for; children would inherit it


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()  # what the imports made need not be looked through after every test


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Async tests run in virtual time, unless they are marked ``real_time``."""
    if item.get_closest_marker("real_time"):
        return {"real": asyncio.new_event_loop}
    return {"virtual": VirtualLoop}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(autouse=True)
def _no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a task, an unheard exception or an unclosed resource behind.

    What was not closed warns when it is collected, and a warning is an error.
    """
    function = getattr(request.function, "hypothesis", None)
    function = function.inner_test if function else request.function
    if asyncio.iscoroutinefunction(function):
        request.getfixturevalue("_no_leaked_tasks")
    yield
    gc.collect()


@pytest.fixture
async def _no_leaked_tasks(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    faults: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(_describe(context)))
    yield
    leaked = sorted(repr(task) for task in asyncio.all_tasks() - {asyncio.current_task()})
    gc.collect()  # an exception nobody retrieved is reported when its task is collected
    if request.node.stash.get(FAILED, False):
        return
    assert not leaked, f"the test left {len(leaked)} tasks behind: {leaked}"
    assert not faults, f"the event loop was told of: {faults}"


def _describe(context: dict[str, Any]) -> str:
    return f"{context['message']}: {context.get('exception')!r}"


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may reach a real model by way of the developer's environment."""
    for name in list(os.environ):
        if name.startswith("ANTHROPIC_"):
            monkeypatch.delenv(name)


class CacheServer:
    """A server of the test's own, on a free port; to be killed, frozen, and started again.

    :param url: where it is; ``{port}`` in it and in the command is the port.
    """

    def __init__(self, folder: Path, url: str, *command: str) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = url.format(port=self.port)
        self.command = [each.format(port=self.port) for each in command]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)
        if number == signal.SIGSTOP:  # one of its threads may answer until all have stopped
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED)

    def kill(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[CacheServer]:
    """A running Redis; the test is skipped where there is none."""
    pytest.importorskip("redis", reason="the redis client is not installed: foretell[redis]")
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server here")
    server = CacheServer(
        tmp_path, "redis://127.0.0.1:{port}/0",
        "redis-server", "--port", "{port}", "--bind", "127.0.0.1", "--save", "",
        "--appendonly", "no",
    )  # fmt: skip
    server.start()
    yield server
    server.kill()


@pytest.fixture
def memcached(tmp_path: Path) -> Iterator[CacheServer]:
    """A running Memcached; the test is skipped where there is none."""
    pytest.importorskip("aiomcache", reason="its client is not installed: foretell[memcached]")
    if shutil.which("memcached") is None:
        pytest.skip("no memcached here")
    command = ("memcached", "-p", "{port}", "-l", "127.0.0.1", "-U", "0", "-u", "root")
    server = CacheServer(tmp_path, "memcached://127.0.0.1:{port}", *command)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real recordings: ``FORETELL_DATA``, else ``../shared/data``."""
    shared = ROOT.parent / "shared"
    folder = Path(os.environ.get("FORETELL_DATA") or shared / "data")
    if folder.is_dir():
        return folder
    reason = f"no recordings at {folder}; set FORETELL_DATA to where they are"
    if CI and shared.is_dir():
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def effort() -> Any:
    """What a run costs, counted; see ``effort.py``."""
    found = importlib.util.spec_from_file_location("effort", ROOT / "tests" / "effort.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.effort
