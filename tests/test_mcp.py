"""``foretell mcp``: the tool as the official client sees it, in a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

pytest.importorskip("mcp", reason="the MCP package is not installed: foretell[mcp]")

from mcp import Client, StdioServerParameters

from foretell import cli
from foretell.prefetch import opened
from foretell.sinks.usage_store import Query

pytestmark = pytest.mark.real_time

FETCHER = """
import sys
def fetch(ticker, module):
    print("this must not reach the protocol")
    return [ticker, module]
"""


@asynccontextmanager
async def connected(folder: Path) -> AsyncGenerator[Client, None]:
    (folder / "shop.py").write_text(FETCHER)
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "foretell", "mcp", "--data", "data", "--fetch", "shop:fetch"],
        env={name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
        cwd=folder,
    )
    async with Client(command) as client:
        yield client


async def asked(client: Client, **arguments: Any) -> Any:
    found = await client.call_tool("smart_prefetch", arguments)
    assert not found.is_error, found.content
    return found.structured_content


async def refused(client: Client, **arguments: Any) -> str:
    found = await client.call_tool("smart_prefetch", arguments)
    assert found.is_error
    text = found.content[0].text  # type: ignore[union-attr]
    assert "Traceback" not in text
    return text.removeprefix("Error executing tool smart_prefetch: ")


async def test_the_tool_tells_what_the_command_line_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    opened().record_all([Query(1e9 + n, "AAPL", "price", n % 2 == 0) for n in range(9)])
    opened().close()
    async with connected(tmp_path) as client:  # 2-21
        (tool,) = (await client.list_tools()).tools
        assert tool.name == "smart_prefetch"
        assert set(tool.input_schema["properties"]) == {"action", "by", "config"}
        assert tool.input_schema.get("required", []) == []
        change = {"top_n": 3, "min_confidence": 0.5, "enabled": True}
        assert (await asked(client, action="config", config=change)).items() >= change.items()
        by_whom = [await asked(client, action="stats", **by) for by in ({}, {"by": "ensemble"})]
        assert [each["by"] for each in by_whom] == ["document", "ensemble"]
        formula = await asked(client, action="warmup", by="document")
        warm = await asked(client, action="warmup")
        assert (formula["by"], warm["by"]) == ("document", "ensemble")
        (path,) = map(Path, warm["fetched"])
        assert orjson.loads(path.read_bytes()) == ["AAPL", "price"]
        told = {name: await asked(client, action=name) for name in ("stats", "status", "config")}
        assert await asked(client) == told["status"]
    assert cli.main(["cache-status", "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out) == told["status"]
    assert cli.main(["prefetch-config", "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out) == told["config"]
    assert cli.main(["prefetch-stats", "--json"]) == 0
    ours = orjson.loads(capsys.readouterr().out)
    assert [each["ticker"] for each in told["stats"]["predictions"]] == ["AAPL"]
    assert ours["total_queries"] == told["stats"]["total_queries"] == 9
    opened().close()


async def test_what_cannot_be_done_is_an_error_of_the_tool_in_a_sentence(tmp_path: Path) -> None:
    async with connected(tmp_path) as client:
        said = await refused(client, action="erase")
        assert said == "action: input should be 'stats', 'warmup', 'status' or 'config'"
        assert await refused(client, acton="stats") == "acton: is no argument of it"
        said = await refused(client, action="stats", config={"top_n": 5})
        assert said == 'config: goes with action "config" alone'
        said = await refused(client, action="config", config={"zone": "Mars/X"})
        assert said.startswith("config: zone: 'Mars/X' is no time zone here")
        assert "top_n" in await refused(client, action="config", config={"top_n": 0})
        assert "colour" in await refused(client, action="config", config={"colour": 1})
        (tmp_path / "data" / "prefetch_config.json").write_bytes(b"{")
        assert "prefetch_config.json" in await refused(client, action="status")
        assert (tmp_path / "data" / "prefetch_config.json").read_bytes() == b"{"


def started(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    hello = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-06-18",
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "foretell", "mcp", *options],
        cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin and process.stdout
    process.stdin.write(orjson.dumps(hello) + b"\n")
    process.stdin.flush()
    assert orjson.loads(process.stdout.readline())["result"]["serverInfo"]["name"] == "foretell"
    return process


def test_it_ends_when_its_input_ends(tmp_path: Path) -> None:
    process = started(tmp_path)
    assert process.communicate(timeout=30) == (b"", b"")
    assert process.returncode == 0


def test_a_fetcher_that_prints_when_it_is_imported_does_not_speak_to_the_client(
    tmp_path: Path,
) -> None:
    below = "import os, subprocess, sys\nos.write(1, b'below ')\n"  # as a library in C does
    child = "subprocess.run([sys.executable, '-c', 'print(\"a child\", end=\" \")'])\n"
    loud = f"{below}{child}print('I am here')\ndef fetch(ticker, module): ..."
    (tmp_path / "loud.py").write_text(loud)
    process = started(tmp_path, "--fetch", "loud:fetch")
    assert process.communicate(timeout=30) == (b"", f"below a child I am here{os.linesep}".encode())


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_well_when_told_to(tmp_path: Path, number: signal.Signals) -> None:
    process = started(tmp_path)
    process.send_signal(number)
    assert process.wait(timeout=30) == 0
    assert process.communicate() == (b"", b"")


def test_without_the_package_that_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    assert cli.main(["mcp"]) == 1
    said = 'foretell: error: foretell mcp needs: pip install "foretell[mcp]"\n'
    assert capsys.readouterr() == ("", said)
