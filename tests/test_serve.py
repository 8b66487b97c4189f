"""``foretell serve``: the document's routes over real sockets, and who may not ask there."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

pytest.importorskip("fastapi", reason="the server is not installed: foretell[server]")

from foretell import cli
from foretell.errors import ConfigError
from foretell.prefetch import opened
from foretell.prefetch.config import PrefetchConfig
from foretell.prefetch.service import Prefetch
from foretell.server import app as server_app
from foretell.server.guard import Limits
from foretell.server.run import running
from foretell.sinks.usage_store import Query, Totals, UsageStore
from foretell.streams.listener import ServerMissing

pytestmark = pytest.mark.real_time

PATH = "/api/v1/smart-prefetch"
AT = 1_771_986_600.0  # 2026-02-25 02:30 UTC
AAPL = {"ticker": "AAPL", "module": "price", "hit": True}
JSON = {"content-type": "application/json"}


@asynccontextmanager
async def served(
    folder: Path, fetch: Any = None, **how: Any
) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """A server over a folder at a fixed time, and a client of it."""
    prefetch = Prefetch(str(folder), fetch, clock=lambda: AT)
    async with (
        running(prefetch, **how) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False, timeout=30) as http,
    ):
        yield http


def refused(answer: httpx2.Response) -> tuple[int, str, str]:
    """Status, kind and message of an answer in the one shape that errors have."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert set(body) == {"type", "error"} and body["type"] == "error"
    assert set(body["error"]) == {"type", "message"}
    assert "Traceback" not in answer.text and "\n" not in body["error"]["message"]
    return answer.status_code, body["error"]["type"], body["error"]["message"]


# --- the document's routes


async def test_the_documents_routes_tell_what_the_command_line_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    told: dict[str, Any] = {}
    async with served(tmp_path / "data") as http:
        for number in range(16):
            body = {"ticker": f"T{number % 3}", "module": "price", "hit": number % 2 == 0}
            answer = await http.post(PATH, params={"action": "record"}, json=body)  # 2-20
            assert answer.status_code == 200
        last = {"ticker": "T0", "module": "price", "hit": False, "at": AT}
        assert answer.json() == {**last, "total_queries": 16, "hit_rate": 0.5}
        change = {"top_n": 2, "min_confidence": 0.3, "enabled": True}
        answer = await http.post(PATH, params={"action": "config"}, json=change)  # 2-19
        assert answer.json().items() >= change.items()
        for action in ("stats", "warmup", "status", "config"):  # 2-18
            answer = await http.get(PATH, params={"action": action})
            assert answer.status_code == 200
            told[action] = answer.json()
        assert (await http.get(PATH)).json() == told["status"]  # the default
    assert (told["status"]["cache_hits"], told["status"]["hit_rate"]) == (8, 0.5)
    assert len(told["stats"]["predictions"]) == 2
    assert [each["ticker"] for each in told["warmup"]["wanted"]] == ["T1", "T0"]
    at = ["--at", "2026-02-25T02:30:00"]
    for command, action in (
        (["prefetch-stats", *at], "stats"),
        (["prefetch-warmup", *at], "warmup"),
        (["cache-status"], "status"),
        (["prefetch-config"], "config"),
    ):
        assert await asyncio.to_thread(cli.main, [*command, "--json"]) == 0
        assert orjson.loads(capsys.readouterr().out) == told[action]
    opened("data").close()


async def test_the_documents_session_gives_the_figures_of_its_arithmetic(tmp_path: Path) -> None:
    """Its 16 queries of 8 pairs: eight at one o'clock, eight at two, on a Wednesday."""
    session = [
        "AAPL price", "TSLA technicals", "AAPL price", "TSLA technicals", "AAPL price",
        "TSLA technicals", "MSFT price", "AAPL technicals",
        "NVDA price", "AAPL news", "GOOG price", "AMZN news", "MSFT price", "AMZN news",
        "AAPL price", "AAPL price",
    ]  # fmt: skip
    now = [AT]
    prefetch = Prefetch(str(tmp_path), clock=lambda: now[0])
    async with running(prefetch) as url, httpx2.AsyncClient(base_url=url, trust_env=False) as http:
        for number, query in enumerate(session):
            now[0] = AT - 5_400 + 3_600 * (number // 8) + 60 * (number % 8)
            ticker, module = query.split()
            body = {"ticker": ticker, "module": module, "hit": number % 2 == 0}
            await http.post(PATH, params={"action": "record"}, json=body)
        now[0] = AT
        found = (await http.get(PATH, params={"action": "stats"})).json()
    assert (found["hour"], found["day_of_week"], found["weight"]) == (2, 2, 0.3)
    assert (found["total_queries"], found["hit_rate"]) == (16, 0.5)
    assert found["top_tickers"][:2] == [["AAPL", 7], ["TSLA", 3]]
    assert found["top_modules"][:2] == [["price", 9], ["technicals", 4]]
    best, second = found["predictions"][:2]
    # 5 of 16 in all, 2 of 8 at this hour, 5 of 16 on Wednesdays, 1 of 4 after AAPL / price  # 2-9
    score = 0.3 * 5 / 16 + 0.4 * 2 / 8 * 0.3 + 0.2 * 5 / 16 + 0.1 * 1 / 4
    assert (best["ticker"], best["module"]) == ("AAPL", "price")
    assert best["score"] == pytest.approx(score, abs=1e-6)
    assert best["probability"] == pytest.approx(score / (0.3 + 0.4 * 0.3 + 0.2 + 0.1), abs=1e-6)
    score = 0.3 * 3 / 16 + 0.2 * 3 / 16 + 0.1 * 3 / 4
    assert (second["ticker"], second["module"]) == ("TSLA", "technicals")
    assert second["score"] == pytest.approx(score, abs=1e-6)


async def test_a_warm_up_fetches_and_two_at_once_fetch_once(tmp_path: Path) -> None:
    fetched: list[tuple[str, str]] = []

    async def fetch(ticker: str, module: str) -> Any:
        await asyncio.sleep(0.01)
        fetched.append((ticker, module))
        return {"price": 5}

    async with served(tmp_path, fetch) as http:
        opened(tmp_path).record_all([Query(AT - n, "AAPL", "price", True) for n in range(9)])
        ask = {"params": {"action": "warmup"}}
        one, two = await asyncio.gather(http.get(PATH, **ask), http.get(PATH, **ask))
        assert one.json() == two.json() and fetched == [("AAPL", "price")]
        (path,) = map(Path, one.json()["fetched"])
        assert path.parent == tmp_path / "prefetch_cache"
        assert orjson.loads(path.read_bytes()) == {"price": 5}
        status = (await http.get(PATH)).json()
        assert (status["cached_items"], status["cached_bytes"]) == (1, 11)  # 2-32
        await http.get(PATH, **ask)
        assert len(fetched) == 2


class Idle(Prefetch):
    """One that warms up when it is idle; it can be waited for that it looks, and warms up."""

    def __init__(self, folder: Path, fetch: Any) -> None:
        super().__init__(str(folder), fetch, idle=0.05, clock=lambda: AT)
        self.warming, self.looked = asyncio.Semaphore(0), asyncio.Semaphore(0)

    def warmup(self, by: str | None = None) -> Any:
        self.warming.release()
        return super().warmup(by)


async def test_when_nothing_is_asked_for_it_warms_up_once_until_the_next_query(  # 2-28
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []

    async def fetch(ticker: str, module: str) -> Any:
        fetched.append(ticker)

    opened(tmp_path).record_all([Query(AT - n, "AAPL", "price", True) for n in range(9)])
    prefetch, loop = Idle(tmp_path, fetch), asyncio.get_running_loop()
    totals = UsageStore.totals

    def looking(store: UsageStore) -> Totals:
        loop.call_soon_threadsafe(prefetch.looked.release)
        return totals(store)

    monkeypatch.setattr(UsageStore, "totals", looking)
    async with asyncio.timeout(20), running(prefetch):
        await prefetch.warming.acquire()
        for _ in range(9):
            await prefetch.looked.acquire()
        assert fetched == ["AAPL"] and prefetch.warming.locked()
        opened(tmp_path).record(Query(AT, "AAPL", "price", hit=True))  # another process, say
        await prefetch.warming.acquire()


async def test_an_idle_warm_up_that_fails_is_said_and_another_comes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = asyncio.Event()

    async def fetch(ticker: str, module: str) -> Any:
        done.set()

    opened(tmp_path).record_all([Query(AT - n, "AAPL", "price", True) for n in range(9)])
    prefetch, config = Idle(tmp_path, fetch), tmp_path / "prefetch_config.json"
    async with asyncio.timeout(20), running(prefetch):
        config.write_text("[")
        await prefetch.warming.acquire()
        opened(tmp_path).record(Query(AT, "AAPL", "price", hit=True))
        while "mend it" not in caplog.text:
            await prefetch.warming.acquire()
        config.unlink()
        opened(tmp_path).record(Query(AT, "AAPL", "price", hit=True))
        await done.wait()


@pytest.mark.parametrize(
    ("action", "body", "says"),
    [
        ("record", {"ticker": "A", "module": "p"}, "body.hit: field required"),
        ("record", {**AAPL, "hit": "true"}, "body.hit: input should be a valid boolean"),
        ("record", {**AAPL, "ticker": ""}, "body.ticker: string should have at least 1"),
        ("record", {**AAPL, "module": "x" * 100_001}, "body.module: string should have at most"),
        ("record", {**AAPL, "colour": 1}, "body.colour: extra inputs"),
        ("record", {"top_n": 5}, "body: action=record needs ticker, module and hit"),
        ("record", {}, "body: action=record needs ticker, module and hit"),
        ("record", [AAPL], "body: input should be a valid dict"),
        ("config", AAPL, "body: action=config takes settings, not a query"),
        ("config", {"top_n": 0}, "body.top_n: input should be greater"),
        ("config", {"top_n": "20"}, "body.top_n: input should be a valid integer"),
        ("config", {"min_confidence": 1.01}, "body.min_confidence: input should be less"),
        ("config", {"enabled": 1}, "body.enabled: input should be a valid boolean"),
        ("config", {"hour_weights": {"9-99": 1}}, "body.hour_weights: '9-99' is no period"),
        ("config", {"zone": "../../etc/passwd"}, "body.zone: "),
        ("erase", AAPL, "query.action: input should be 'config' or 'record'"),
        (None, AAPL, "query.action: field required"),
    ],
)
async def test_what_is_not_as_it_must_be_is_said_in_a_sentence(
    tmp_path: Path, action: str | None, body: Any, says: str
) -> None:
    async with served(tmp_path) as http:
        answer = await http.post(PATH, params={"action": action} if action else {}, json=body)
        status, kind, message = refused(answer)
        assert (status, kind) == (422, "invalid_request") and message.startswith(says), message
        assert (await http.get(PATH)).json()["total_queries"] == 0
    assert not (tmp_path / "prefetch_config.json").exists()


async def test_unknown_actions_paths_and_methods_are_errors_of_the_same_shape(
    tmp_path: Path,
) -> None:
    async with served(tmp_path) as http:
        status, _, says = refused(await http.get(PATH, params={"action": "drop"}))
        assert status == 422 and "'stats', 'warmup', 'status' or 'config'" in says
        assert refused(await http.get("/nowhere"))[:2] == (404, "not_found")
        answer = await http.put(PATH)
        assert refused(answer)[:2] == (405, "method_not_allowed")
        assert answer.headers["allow"] == "GET, POST"
        assert (await http.get("/healthz")).json() == {"status": "ok"}


async def test_strange_keys_are_recorded_as_they_are(tmp_path: Path) -> None:
    strange = ["x" * 10_000, "'; DROP TABLE queries; --", "$(id)`id`", "a\0b\n\u202e", "名前"]
    async with served(tmp_path) as http:
        for word in strange:
            answer = await http.post(
                PATH, params={"action": "record"}, json={**AAPL, "ticker": word}
            )
            assert answer.json()["ticker"] == word
        found = (await http.get(PATH, params={"action": "stats"})).json()
        assert [name for name, _ in found["top_tickers"]] == strange


async def test_a_folder_that_cannot_be_used_is_said_and_not_overwritten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "prefetch_config.json"
    async with served(tmp_path) as http:
        file.write_bytes(b"{")
        status, kind, says = refused(await http.get(PATH, params={"action": "config"}))
        assert (status, kind) == (500, "failed") and "prefetch_config.json" in says
        assert file.read_bytes() == b"{"
        answer = await http.post(PATH, params={"action": "config"}, json={"top_n": 9})
        assert answer.json()["top_n"] == 9  # it was set aside
        assert (tmp_path / "prefetch_config.json.aside-1").read_bytes() == b"{"
    assert "prefetch_config.json.aside-1" in caplog.text


async def test_a_cache_that_is_no_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "prefetch_cache").write_text("mine")
    async with served(tmp_path, lambda ticker, module: 1) as http:
        for action in ("status", "warmup"):
            status, kind, says = refused(await http.get(PATH, params={"action": action}))
            assert (status, kind) == (500, "failed") and "prefetch_cache: " in says
    assert (tmp_path / "prefetch_cache").read_text() == "mine"


async def test_a_damaged_history_is_set_aside_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "prefetch.sqlite").write_bytes(b"rubbish" * 999)
    async with served(tmp_path) as http:
        assert (await http.get(PATH)).json()["total_queries"] == 0
    assert "prefetch.sqlite.aside-1" in caplog.text


async def test_a_warm_up_that_fails_is_an_error_and_the_next_one_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path, lambda ticker, module: 1) as http:
        opened(tmp_path).record_all([Query(AT - n, "AAPL", "price", True) for n in range(9)])
        (tmp_path / "prefetch_cache").write_text("a file, where a folder should be")
        assert refused(await http.get(PATH, params={"action": "warmup"}))[0] == 500
        (tmp_path / "prefetch_cache").unlink()
        answer = await http.get(PATH, params={"action": "warmup"})
        assert len(answer.json()["fetched"]) == 1


async def test_a_fault_of_its_own_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(folder: str) -> Any:
        raise ZeroDivisionError("secret words")

    monkeypatch.setattr("foretell.prefetch.service.status", broken)
    caplog.set_level(logging.ERROR)
    async with served(tmp_path) as http:
        answer = await http.get(PATH)
        status, kind, says = refused(answer)
        assert (status, kind) == (500, "failed") and "secret" not in says
        assert (await http.get("/healthz")).status_code == 200
    ours = [each for each in caplog.records if each.name == "foretell"]
    assert [each.getMessage() for each in ours] == [
        f"GET '{PATH}': ZeroDivisionError: secret words"
    ]
    assert not any(each.exc_info for each in caplog.records)


async def test_the_page_of_what_can_be_asked_loads_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as http:
        answer = await http.get("/docs")
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert PATH in answer.text and "<script" not in answer.text and "http" not in answer.text
        assert "<li><code>by</code>: document, ensemble, or nothing</li>" in answer.text
        assert "<code>a body: Record</code>: ticker, module, hit</li>" in answer.text
        assert "<code>a body: ConfigChange</code>: top_n, " in answer.text
        schema = (await http.get("/openapi.json")).json()
        assert set(schema["paths"]) == {"/healthz", PATH}


# --- who may ask


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "192.168.1.5:8080"},
        {"host": ""},
        {"host": "localhost@evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:1"},
        {"origin": "file://"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/healthz", PATH + "?action=warmup"])
async def test_pages_of_others_may_not_ask(
    tmp_path: Path, headers: dict[str, str], path: str
) -> None:
    async with served(tmp_path) as http:
        assert refused(await http.get(path, headers=headers))[:2] == (403, "forbidden")
        answer = await http.post(PATH + "?action=record", json=AAPL, headers=headers)
        assert refused(answer)[:2] == (403, "forbidden")
        assert (await http.get(PATH)).json()["total_queries"] == 0


async def test_its_own_pages_and_names_may_ask(tmp_path: Path) -> None:
    async with served(tmp_path, names=["Table.example"]) as http:
        port = http.base_url.port
        for host in (f"localhost:{port}", "127.0.0.1", "[::1]:9", "LOCALHOST.", "table.example"):
            assert (await http.get(PATH, headers={"host": host})).status_code == 200
        own = {"host": f"localhost:{port}", "origin": f"http://localhost:{port}"}
        own |= {"sec-fetch-site": "same-origin"}
        assert (await http.get(PATH, headers=own)).status_code == 200


async def test_with_a_token_only_who_has_it_may_ask(tmp_path: Path) -> None:
    async with served(tmp_path, token="open-sesame") as http:
        for given in ("", "Bearer", "Bearer wrong", "open-sesame", "Basic open-sesame", "Bearer é"):
            sent = {"authorization": given.encode("latin-1")} if given else {}
            answer = await http.get(PATH, headers=sent)  # type: ignore[arg-type]
            assert refused(answer)[:2] == (401, "unauthorized")
            assert answer.headers["www-authenticate"] == "Bearer"
        assert (await http.get("/openapi.json")).status_code == 401
        right = {"authorization": "Bearer open-sesame"}
        assert (await http.get(PATH, headers=right)).status_code == 200
        assert (await http.get("/healthz")).status_code == 200


async def test_beyond_loopback_a_token_is_a_must_and_addresses_are_names(tmp_path: Path) -> None:
    for token in (None, ""):
        with pytest.raises(ConfigError, match="not loopback: give --token"):
            async with served(tmp_path, host="0.0.0.0", token=token):
                pass
    for token in ("", "two words", "naïve", "a\nb"):
        with pytest.raises(ConfigError, match="--token"):
            async with served(tmp_path, token=token):
                pass
    async with served(tmp_path, host="0.0.0.0", token="t") as http:
        http.base_url = f"http://127.0.0.1:{http.base_url.port}"
        http.headers["authorization"] = "Bearer t"
        assert (await http.get(PATH, headers={"host": "192.168.1.5:80"})).status_code == 200
        assert (await http.get(PATH, headers={"host": "evil.example"})).status_code == 403


# --- how much may be asked


async def test_a_body_that_is_too_large_is_refused_without_being_kept(tmp_path: Path) -> None:
    async def pieces() -> AsyncGenerator[bytes, None]:
        for _ in range(100):
            yield b" " * 1024 * 1024

    async with served(tmp_path) as http:
        ask: dict[str, Any] = {"params": {"action": "record"}, "headers": JSON}
        for content in (b" " * 100 * 1024 * 1024, pieces(), b" " * (1024 * 1024 + 1)):
            answer = await http.post(PATH, content=content, **ask)
            assert refused(answer)[:2] == (413, "too_large")
        at_most = orjson.dumps(AAPL).ljust(1024 * 1024)
        assert (await http.post(PATH, content=at_most, **ask)).status_code == 200


@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        (b"{", "application/json", 400, "body: is no JSON: "),
        (b"\xff", "application/json", 400, "body: is no JSON: "),
        (b'{"min_confidence": NaN}', "application/json", 400, "body: is no JSON: "),
        (b'{"ticker": "\\ud800"}', "application/json", 400, "body: is no JSON: "),
        (b"[" * 100_000, "application/json", 400, "body: is no JSON: "),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "application/json", 422, "body: is nested deeper than"),
        (b"[" * 65 + b"]" * 65, "application/json", 422, "body: is nested deeper than 64"),
        (b"[" * 64 + b"]" * 64, "application/json", 422, "body: input should be"),
        (b"", "application/json", 422, "body: field required"),
        (b"{}", "text/plain", 415, "Content-Type: must be application/json"),
        (b"a=1", "application/x-www-form-urlencoded", 415, "Content-Type: must be"),
    ],
)
async def test_a_body_that_is_no_json_or_too_deep_is_refused(
    tmp_path: Path, body: bytes, kind: str, status: int, says: str
) -> None:
    async with served(tmp_path) as http:
        sent = {"content-type": kind}
        answer = await http.post(PATH, params={"action": "config"}, content=body, headers=sent)
        found = refused(answer)
        assert found[0] == status and found[2].startswith(says), found


async def test_a_body_that_does_not_come_and_an_answer_that_does_not_come_have_an_end(
    tmp_path: Path,
) -> None:
    never = asyncio.Event()

    async def fetch(ticker: str, module: str) -> Any:
        await never.wait()

    limits = Limits(receive=0.05, answer=0.05)
    async with served(tmp_path, fetch, limits=limits) as http:
        reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
        head = f"POST {PATH} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n{{"
        writer.write(head.encode())
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await writer.wait_closed()
        opened(tmp_path).record_all([Query(AT - n, "AAPL", "price", True) for n in range(9)])
        answer = await http.get(PATH, params={"action": "warmup"})
        assert refused(answer)[:2] == (503, "unavailable") and answer.headers["retry-after"]


async def test_a_request_that_is_begun_and_not_said_to_its_end_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foretell.streams.listener.HEAD", 0.05)
    whole = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with served(tmp_path) as http, asyncio.timeout(30):
        for sent in (b"", whole[:20], whole + whole[:20]):
            reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
            writer.write(sent)
            assert (await reader.read()).count(b"HTTP/1.1 200 ") == sent.count(b"\r\n\r\n")
            writer.close()
            await writer.wait_closed()
        reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
        for _ in range(2):  # who is only quiet between two requests is not hung up on
            writer.write(whole)
            assert (await reader.readuntil(b'{"status":"ok"}')).startswith(b"HTTP/1.1 200 ")
            await asyncio.sleep(0.1)
        writer.close()
        await writer.wait_closed()


# --- its end


def warm_up_at(http: httpx2.AsyncClient) -> str:
    return f"{str(http.base_url).rstrip('/')}{PATH}?action=warmup"


async def test_a_request_under_way_is_answered_before_the_server_ends(tmp_path: Path) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def fetch(ticker: str, module: str) -> Any:
        begun.set()
        await go_on.wait()
        return 1

    async with httpx2.AsyncClient(trust_env=False) as http:
        async with served(tmp_path, fetch) as other:
            opened(tmp_path).record_all([Query(AT - n, "AAPL", "price", True) for n in range(9)])
            asked = asyncio.create_task(http.get(warm_up_at(other)))
            await begun.wait()
            asyncio.get_running_loop().call_later(0.05, go_on.set)
        assert len((await asked).json()["fetched"]) == 1


async def test_a_request_without_end_is_cancelled_when_the_server_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foretell.server.run.DRAIN", 0.05)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def fetch(ticker: str, module: str) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with httpx2.AsyncClient(trust_env=False) as http:
        async with served(tmp_path, fetch) as other:
            opened(tmp_path).record_all([Query(AT - n, "AAPL", "price", True) for n in range(9)])
            asked = asyncio.create_task(http.get(warm_up_at(other)))
            await begun.wait()
        with pytest.raises(httpx2.TransportError):
            await asked
        assert ended.is_set()


@contextmanager
def process(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A real ``foretell serve``, and its URL."""
    command = [sys.executable, "-m", "foretell", "serve", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = subprocess.Popen(command, cwd=folder, text=True, **pipes)  # type: ignore[call-overload]
    watch = threading.Timer(50, running.kill)
    watch.start()
    try:
        yield running, running.stdout.readline().strip()
    finally:
        running.kill()
        running.communicate()
        watch.cancel()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_program_prints_its_url_and_ends_well_when_told_to(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "shop.py").write_text("def fetch(t, m):\n    return [t, m]\n")
    with (
        process(tmp_path, "--fetch", "shop:fetch") as (running, url),
        httpx2.Client(base_url=url, trust_env=False) as http,
    ):
        for _ in range(5):
            answer = http.post(PATH, params={"action": "record"}, json=AAPL)
            assert answer.status_code == 200
        found = http.get(PATH, params={"action": "warmup"}).json()
        assert len(found["fetched"]) == 1
        refused(http.get(PATH, params={"action": "x"}))
        running.send_signal(number)  # with a connection that is kept alive
        _, said = running.communicate(timeout=30)
    assert running.returncode == 0
    assert said == f"What can be asked: {url}/docs. Ctrl-C ends it.\n"


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli.main(["serve", *arguments])
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1, told.err
    return code, told.err.strip()


def test_why_it_does_not_start_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORETELL_TOKEN", raising=False)
    wrong = "foretell: error: 0.0.0.0 is not loopback: give --token, or set FORETELL_TOKEN, so that"
    code, said = refusal(capsys, "--host", "0.0.0.0")
    assert code == 2 and said.startswith(wrong)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, said = refusal(capsys, "--port", str(port))
    assert code == 1 and said.startswith(f"foretell: error: cannot listen on 127.0.0.1:{port}")
    code, said = refusal(capsys, "--fetch", "nowhere:fetch")
    assert code == 2 and "MODULE:NAME" in said
    for missing in ("fastapi", "uvicorn"):
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, missing, None)
            code, said = refusal(capsys)
        assert code == 1 and said.endswith('needs: pip install "foretell[server]"')
    assert os.listdir(tmp_path) == []
    os.mkdir("data")
    Path("data/prefetch_config.json").write_text("{")
    code, said = refusal(capsys)
    assert code == 2 and "prefetch_config.json" in said


def test_the_application_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(ServerMissing, match=r"pip install \"foretell\[server\]\""):
        server_app.create(Prefetch())


# --- its schema


def test_its_openapi_schema_is_true(tmp_path: Path) -> None:
    """Fuzzed from the schema; what a body may be depends on the action, so 422 is no finding."""
    pytest.importorskip("schemathesis", reason="schemathesis is not installed: foretell[dev]")
    PrefetchConfig(top_n=3).save(str(tmp_path / "data"))
    with process(tmp_path) as (_, url):
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json",
             "--checks", "all", "--exclude-checks", "positive_data_acceptance",
             "--max-examples", "25", "--seed", "1", "--no-color", "--generation-database", "none"],
            cwd=tmp_path, capture_output=True, text=True, timeout=55, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Tested: 3" in done.stdout
