"""Document 002 on the command line: record-query, prefetch-stats, prefetch-config, warm-up."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import suppress
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from foretell.cli import main
from foretell.errors import ConfigError
from foretell.operators.calibration import Calibration
from foretell.prefetch import Learned, opened
from foretell.prefetch import config as configuration
from foretell.prefetch import fetch as fetching
from foretell.prefetch.cached import cached
from foretell.prefetch.config import PrefetchConfig, alone
from foretell.prefetch.fetch import file_of, warm
from foretell.prefetch.service import configured
from foretell.server.guard import Limits
from foretell.sinks.usage_store import Query

Capture = pytest.CaptureFixture[str]

# The document's own session: 16 queries of 8 pairs, 8 of them hits; AAPL 7, TSLA 3, MSFT 2; price
# 9, technicals 4; TSLA after AAPL three times. The first eight are of 01:00, the others of 02:00.
SESSION = [
    "AAPL price", "TSLA technicals", "AAPL price", "TSLA technicals", "AAPL price",
    "TSLA technicals", "MSFT price", "AAPL technicals",
    "NVDA price", "AAPL news", "GOOG price", "AMZN news", "MSFT price", "AMZN news", "AAPL price",
    "AAPL price",
]  # fmt: skip
SIXTEEN, EIGHT = 16, 8


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    yield
    if os.path.isdir("data"):
        opened().close()


def run(capsys: Capture, *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return orjson.loads(told.out)


def refused(capsys: Capture, *arguments: str) -> tuple[int, str]:
    try:
        code = main(list(arguments))
    except SystemExit as ended:
        code = int(ended.code or 0)
    told = capsys.readouterr()
    assert told.err.startswith("foretell: error: ") and told.err.count("\n") == 1, told.err
    return code, told.err


def replay_the_session(capsys: Capture) -> None:
    for number, query in enumerate(SESSION):
        at = f"2026-02-25T0{1 + number // 8}:{number % 8:02}:00"
        hit = ["--hit"] if number % 2 == 0 else []
        run(capsys, "record-query", *query.split(), *hit, "--at", at)


def test_the_documents_session_gives_the_figures_of_its_arithmetic(capsys: Capture) -> None:
    replay_the_session(capsys)
    found = run(capsys, "prefetch-stats", "--at", "2026-02-25T02:30:00")
    assert (found["hour"], found["day_of_week"], found["weight"]) == (2, 2, 0.3)
    assert found["total_queries"] == 16 and found["cache_hits"] == found["cache_misses"] == 8
    assert found["hit_rate"] == 0.5
    assert found["top_tickers"][:2] == [["AAPL", 7], ["TSLA", 3]]
    assert found["top_modules"][:2] == [["price", 9], ["technicals", 4]]

    def score(overall: int, hour: int, day: int, sequence: int) -> Fraction:
        """Of counts: of 16 in all, 8 at this hour, 16 on Wednesdays, 4 after AAPL / price."""
        hours = Fraction(4, 10) * Fraction(hour, EIGHT) * Fraction(3, 10)
        return (
            Fraction(3, 10) * Fraction(overall, 16)
            + hours
            + Fraction(2, 10) * Fraction(day, 16)
            + Fraction(1, 10) * Fraction(sequence, 4)
        )

    wanted = {  # 2-9
        "AAPL price": score(5, 2, 5, 1),
        "TSLA technicals": score(3, 0, 3, 3),
        "AMZN news": score(2, 2, 2, 0),
        "MSFT price": score(2, 1, 2, 0),
        "AAPL technicals": score(1, 0, 1, 0),
        "NVDA price": score(1, 1, 1, 0),
        "AAPL news": score(1, 1, 1, 0),
        "GOOG price": score(1, 1, 1, 0),
    }
    whole = Fraction(3, 10) + Fraction(4, 10) * Fraction(3, 10) + Fraction(2, 10) + Fraction(1, 10)
    assert sum(wanted.values()) == whole
    rows = {f"{each['ticker']} {each['module']}": each for each in found["predictions"]}
    assert {name: row["score"] for name, row in rows.items()} == pytest.approx(
        {name: float(value) for name, value in wanted.items()}, abs=1e-6
    )
    assert {name: row["probability"] for name, row in rows.items()} == pytest.approx(
        {name: float(value / whole) for name, value in wanted.items()}, abs=1e-6
    )
    assert list(rows)[:2] == ["AAPL price", "TSLA technicals"]


def test_the_statistics_are_printed_as_in_the_documents_sample(capsys: Capture) -> None:
    replay_the_session(capsys)
    assert main(["prefetch-stats", "--at", "2026-02-25T02:30:00"]) == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines[1] == "Current time: hour 02:00, day 2 (Wed, 0=Mon), weight 0.3x"  # 2-29
    assert "  AAPL - 7 queries" in lines and "  price - 9 queries" in lines
    best = next(line for line in lines if " 1. " in line)
    assert "AAPL / price" in best and "[ 29.3%] ██████ " in best
    assert any(line.startswith("Accuracy over the last 15: ") for line in lines)  # 2-31
    assert any(line.startswith("Calibration") for line in lines)


def test_before_anything_was_recorded_that_is_said(capsys: Capture) -> None:
    assert main(["prefetch-stats"]) == 0
    assert "Nothing was recorded yet" in capsys.readouterr().out
    for by in ("document", "ensemble"):
        found = run(capsys, "prefetch-stats", "--by", by)
        assert found["predictions"] == [] and found["accuracy"] == {"events": 0}
    assert run(capsys, "prefetch-warmup")["wanted"] == []


def test_the_ensemble_knows_what_follows_what(capsys: Capture) -> None:
    store = opened()
    words = ["a", "b", "c", "a", "d"] * 60
    store.record_all([Query(1e9 + 60 * n, word, "m", True) for n, word in enumerate(words)])
    best = {
        by: run(capsys, "prefetch-stats", "--by", by)["predictions"][0]["ticker"]
        for by in ("document", "ensemble")
    }
    marks = {
        by: run(capsys, "prefetch-stats", "--by", by)["accuracy"]["top1"]
        for by in ("document", "ensemble")
    }
    assert best["ensemble"] == "a"
    assert marks["ensemble"] > 0.9 > marks["document"]


def test_a_query_is_data_whatever_it_says(capsys: Capture, tmp_path: Path) -> None:
    shell = ["$(touch pwned)", "; touch pwned"]
    strange = [*shell, "x" * 10_000, "\x1b[2J", "'; DROP TABLE queries; --\nQueries: 9"]
    for word in strange:
        found = run(capsys, "record-query", word, "`touch pwned`", "--hit")
        assert found["ticker"] == word
    assert main(["prefetch-stats"]) == 0
    told = capsys.readouterr().out
    assert told.count("\nQueries: ") == 1
    assert "\x1b" not in told and max(map(len, told.split("\n"))) < 200
    assert [name for name, _ in run(capsys, "prefetch-stats")["top_tickers"]] == strange  # 2-17
    assert sorted(os.listdir(tmp_path)) == ["data"]


def test_a_damaged_configuration_costs_no_record(capsys: Capture) -> None:
    Path("data").mkdir()
    Path("data", "prefetch_config.json").write_bytes(b"{")
    assert run(capsys, "record-query", "AAPL", "price")["total_queries"] == 1
    assert "mend it" in refused(capsys, "record-query", "AAPL", "price", "--at", "2026-02-25")[1]


def test_what_cannot_be_a_key_is_refused(capsys: Capture) -> None:
    assert refused(capsys, "record-query", "", "price") == (
        2,
        "foretell: error: ticker: must be a text of 1 to 100,000 characters\n",
    )
    assert refused(capsys, "record-query", "\udcff", "price")[0] == 2
    assert refused(capsys, "record-query", "A", "p", "--at", "9999-12-31T23:00")[0] == 2
    assert not Path("data", "prefetch.sqlite").exists()
    assert refused(capsys, "record-query", "AAPL")[0] == 2
    assert refused(capsys, "record-query", "A", "p", "--at", "noon")[0] == 2
    assert refused(capsys, "prefetch-stats", "--at", "0000")[0] == 2


# --- configuration


def test_the_configuration_has_the_documents_schema_and_defaults(capsys: Capture) -> None:
    assert run(capsys, "prefetch-config") == {  # 2-25
        "top_n": 15,
        "min_confidence": 0.6,
        "enabled": True,
        "hour_weights": {"9-11": 1.5, "11-15": 1.2, "15-17": 1.3, "17-21": 0.8, "21-9": 0.3},
    }
    assert not os.path.exists("data")
    found = run(capsys, "prefetch-config", "--top", "20", "--confidence", "0.7")  # 2-14, 2-15
    assert (found["top_n"], found["min_confidence"]) == (20, 0.7)
    assert run(capsys, "prefetch-config", "--enable", "false")["enabled"] is False  # 2-16
    kept = orjson.loads(Path("data/prefetch_config.json").read_bytes())
    assert (kept["top_n"], kept["enabled"]) == (20, False)
    assert main(["prefetch-config"]) == 0
    assert "enabled         false" in capsys.readouterr().out


@pytest.mark.parametrize("top", ["0", "1001", "5000"])
def test_what_is_said_of_a_number_is_what_is_taken(capsys: Capture, top: str) -> None:
    code, said = refused(capsys, "prefetch-config", "--top", top)
    assert code == 2 and f"'{top}' is not a number from 1 to 1,000;" in said
    assert run(capsys, "prefetch-config", "--top", "1000")["top_n"] == 1_000


def test_hours_and_zone_can_be_ones_own(capsys: Capture) -> None:
    run(capsys, "prefetch-config", "--hours", "8-20=2,20-8=0.5", "--zone", "Europe/Berlin")  # 2-34
    found = run(capsys, "prefetch-stats", "--at", "2026-07-01T18:30:00+00:00")
    assert (found["hour"], found["weight"]) == (20, 0.5)
    found = run(capsys, "prefetch-stats", "--at", "2026-07-01T18:30:00")
    assert (found["hour"], found["weight"]) == (18, 2)


def test_the_ensemble_goes_by_the_configured_zone_and_hours() -> None:
    store, new_york = opened(), ZoneInfo("America/New_York")
    nine = datetime(2026, 2, 16, 9, tzinfo=new_york)  # clocks change on the 8th of March
    for day in range(26):
        for hour, word in enumerate(("open", "news")):
            begun = (nine + timedelta(days=day, hours=hour)).timestamp()
            store.record_all([Query(begun + 360 * n, word, "m", True) for n in range(10)])
    now = (nine + timedelta(days=26, minutes=30)).timestamp()

    def foreseen(**settings: Any) -> float:
        learned = Learned(store, PrefetchConfig(**settings), "ensemble")
        return {each.key: each.probability for each in learned.scored(now, 2)}["open", "m"]

    utc, local = foreseen(), foreseen(zone="America/New_York")
    heavy = foreseen(zone="America/New_York", hour_weights={"0-24": 100})
    assert utc < local < heavy


@pytest.mark.parametrize(
    "change",
    [("--top", "0"), ("--top", "x"), ("--top", "1001"), ("--confidence", "1.5"),
     ("--confidence", "nan"), ("--enable", "yes"), ("--hours", "9-17"), ("--hours", "9-17=x"),
     ("--hours", "9-17=1,9-17=2"), ("--hours", "9-99=1"), ("--hours", "9-17=-1"),
     ("--zone", "Europe/Nowhere"),
     ("--zone", "../../etc/passwd"), ("--horizon", "0"), ("--horizon", "inf")],
)  # fmt: skip
def test_what_is_no_setting_is_refused_and_nothing_is_written(
    capsys: Capture, change: tuple[str, str]
) -> None:
    assert refused(capsys, "prefetch-config", *change)[0] == 2
    assert not os.path.exists("data/prefetch_config.json")


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"top_n": 0}', b'{"colour": 1}', b"\xff\0"])
def test_a_configuration_that_is_damaged_or_foreign_is_kept_aside(
    capsys: Capture, content: bytes
) -> None:
    os.mkdir("data")
    Path("data/prefetch_config.json").write_bytes(content)
    for command in (["prefetch-config"], ["prefetch-stats"], ["prefetch-warmup"]):
        code, said = refused(capsys, *command)
        assert code == 2 and "prefetch_config.json" in said
    assert Path("data/prefetch_config.json").read_bytes() == content
    assert main(["prefetch-config", "--top", "9"]) == 0
    assert "prefetch_config.json.aside-1" in capsys.readouterr().err
    assert Path("data/prefetch_config.json.aside-1").read_bytes() == content
    assert run(capsys, "prefetch-config")["top_n"] == 9


def test_several_that_change_the_configuration_at_once_lose_nothing() -> None:
    changes = {"top_n": (3, 4), "min_confidence": (0.1, 0.2), "horizon": (10.0, 20.0)}
    begin, lost = threading.Barrier(len(changes)), []

    def change(name: str, values: tuple[float, float]) -> None:
        begin.wait()
        for value in values * 20:
            configured("data", {name: value})
            if getattr(PrefetchConfig.load("data"), name) != value:  # nobody else changes this one
                lost.append((name, value))

    Path("data").mkdir()
    Path("data/prefetch_config.json").write_text("{")
    threads = [threading.Thread(target=change, args=each) for each in changes.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lost == []
    assert {name: getattr(PrefetchConfig.load("data"), name) for name in changes} == {
        name: last for name, (_, last) in changes.items()
    }
    kept = {"prefetch_config.json", "prefetch_config.json.aside-1"}
    assert {*os.listdir("data")} == kept


def test_who_never_lets_go_of_the_configuration_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(configuration, "TRIES", 1)
    with alone("data"), pytest.raises(ConfigError, match=r"written by this process$"):
        configured("data", {"top_n": 3})
    configured("data", {"top_n": 3})
    assert os.listdir("data") == ["prefetch_config.json"]
    with pytest.raises(ConfigError, match=r"prefetch_config.json: "):
        configured("data/prefetch_config.json", {"top_n": 3})


# --- import and export


def test_the_history_goes_out_and_comes_in_as_a_file(capsys: Capture, tmp_path: Path) -> None:
    replay_the_session(capsys)
    before = run(capsys, "prefetch-stats", "--export", "out.json", "--at", "2026-02-25T02:30:00")
    written = orjson.loads(Path("out.json").read_bytes())
    assert written["total_queries"] == len(written["queries"]) == 16
    arguments = ["--data", "other", "--at", "2026-02-25T02:30:00"]
    assert main(["prefetch-stats", "--import", "out.json", "--json", *arguments]) == 0
    told = capsys.readouterr()
    assert told.err == "imported 16 queries\n"
    assert orjson.loads(told.out) == before
    code, said = refused(capsys, "prefetch-stats", "--import", "out.json", *arguments)
    assert code == 1 and "out.json: these queries were imported before" in said
    opened("other").close()


def test_an_export_replaces_no_file_of_another_kind(capsys: Capture) -> None:
    Path("diary.txt").write_text("dear diary")
    assert refused(capsys, "prefetch-stats", "--export", "diary.txt")[0] == 1
    assert Path("diary.txt").read_text() == "dear diary"
    Path("bad.json").write_text("{")
    code, said = refused(capsys, "prefetch-stats", "--import", "bad.json")
    assert code == 1 and said.startswith("foretell: error: bad.json: is no JSON")


# --- warm-up


FETCHER = """
import asyncio, threading
def fetch(ticker, module):
    if ticker == "down":
        raise RuntimeError("no such service")
    return {"ticker": ticker, "module": module}
async def later(ticker, module):
    await asyncio.sleep(0)
    return [ticker, module]
lent = lambda ticker, module: later(ticker, module)
class Shop:
    async def __call__(self, ticker, module):
        return await later(ticker, module)
shop = Shop()
"""


@pytest.mark.parametrize("function", ["fetch", "later", "lent", "shop"])
def test_a_warm_up_fetches_what_will_be_wanted(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, function: str
) -> None:
    (tmp_path / f"shop_{function}.py").write_text(FETCHER)
    monkeypatch.syspath_prepend(str(tmp_path))
    words = ["often", "often", "../../etc", "often", "seldom"] * 4
    opened().record_all([Query(1e9 + 60 * n, word, "m", True) for n, word in enumerate(words)])
    at = "2001-09-09T02:10:00"
    listed = run(capsys, "prefetch-warmup", "--at", at)
    assert listed["fetched"] == [] and len(listed["wanted"]) == 3
    found = run(capsys, "prefetch-warmup", "--fetch", f"shop_{function}:{function}", "--at", at)
    assert len(found["fetched"]) == 3 and found["failed"] == []
    assert found["fetched"][0] == os.path.join("data", "prefetch_cache", "often_m_20010909.json")
    assert {os.path.dirname(each) for each in found["fetched"]} == {
        os.path.join("data", "prefetch_cache")
    }
    assert orjson.loads(Path(found["fetched"][0]).read_bytes()) in (
        {"ticker": "often", "module": "m"},
        ["often", "m"],
    )
    run(capsys, "prefetch-config", "--enable", "false")
    assert run(capsys, "prefetch-warmup", "--at", at)["wanted"] == []


def test_what_was_fetched_is_found_that_day_and_each_look_up_is_recorded(capsys: Capture) -> None:
    run(capsys, "prefetch-config", "--zone", "Pacific/Auckland")
    strange, evening = ("../x", "m"), 1_771_986_600.0  # 15:30 on the 25th there
    for key, value in ((strange, {"a": [1, 2]}), (("down", "m"), None)):
        path = Path("data", "prefetch_cache", file_of(key, "20260225"))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"{" if value is None else orjson.dumps(value))
    assert cached(*strange, at=evening) == {"a": [1, 2]}
    assert cached("down", "m", at=evening) is None  # damaged
    assert cached("up", "m", at=evening) is None
    assert cached(*strange, at=evening + 9 * 3600) is None  # the 26th
    assert opened().totals() == (1, 3)
    assert [query.hit for query in opened().history()] == [True, False, False, False]
    nothing = object()
    Path("data", "prefetch_cache", file_of(("null", "m"), "20260225")).write_bytes(b"null")
    assert cached("null", "m", at=evening, default=nothing) is None  # it was fetched, and is null
    assert cached("up", "m", at=evening, default=nothing) is nothing
    assert opened().totals() == (2, 4)


def test_one_that_cannot_be_fetched_costs_the_others_nothing(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "shop_down.py").write_text(FETCHER)
    monkeypatch.syspath_prepend(str(tmp_path))
    opened().record_all([Query(1e9 + n, w, "m", True) for n, w in enumerate(["down", "up"] * 5)])
    assert main(["prefetch-warmup", "--fetch", "shop_down:fetch", "--at", "2001-09-09T02:00"]) == 1
    told = capsys.readouterr()
    assert told.err == "foretell: error: down / m: RuntimeError: no such service\n"
    assert "fetched 1 of 2" in told.out
    assert os.listdir("data/prefetch_cache") == ["up_m_20010909.json"]
    (tmp_path / "shop_shut.py").write_text("raise SystemExit(3)")
    names = ("nowhere:fetch", "shop_down:nothing", "shop_down", ":x", ".x:y", "", "shop_shut:fetch")
    for name in names:
        code, said = refused(capsys, "prefetch-warmup", "--fetch", name)
        assert code == 2 and f"--fetch {name}: " in said
    assert "cannot be imported: SystemExit: 3 (shop_shut.py, line 1)" in said
    for command in ("serve", "mcp"):
        assert "--fetch" in refused(capsys, command, "--idle", "60")[1]


def test_what_a_fetcher_prints_is_not_the_answer(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source = "print('imported')\ndef fetch(ticker, module): print(f'fetching {ticker}')\n"
    (tmp_path / "shop_loud.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    opened().record_all([Query(1e9 + n, "AAPL", "price", True) for n in range(9)])
    at = "2001-09-09T02:00"
    assert main(["prefetch-warmup", "--fetch", "shop_loud:fetch", "--at", at, "--json"]) == 0
    told = capsys.readouterr()
    assert len(orjson.loads(told.out)["fetched"]) == 1
    assert told.err == "imported\nfetching AAPL\n"


class _Dumb(Exception):
    def __str__(self) -> str:
        raise ValueError("says nothing")


@pytest.mark.real_time
@pytest.mark.parametrize("kind", ["in a thread", "async"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit("no API key"), "SystemExit: no API key"),
        (asyncio.CancelledError(), "CancelledError"),
        (GeneratorExit(), "GeneratorExit"),
        (ValueError("half \ud800 letter"), "ValueError: half ? letter"),
        (_Dumb(), "_Dumb"),
    ],
)
async def test_whatever_one_raises_it_alone_has_failed(
    tmp_path: Path, kind: str, error: BaseException, said: str
) -> None:
    def fetch(ticker: str, module: str) -> Any:
        if ticker == "down":
            raise error
        return [ticker]

    async def fetch_later(ticker: str, module: str) -> Any:
        return fetch(ticker, module)

    keys = [("down", "m"), ("up", "m")]
    how = fetch if kind == "in a thread" else fetch_later
    down, up = await warm(keys, how, str(tmp_path), "20260225", 2, lambda done: None)
    assert down.error == said and up.error is None


async def test_one_that_never_comes_is_given_up_and_costs_the_others_nothing(
    tmp_path: Path,
) -> None:
    async def fetch(ticker: str, module: str) -> Any:
        await asyncio.sleep(1e9 if ticker == "stuck" else 1)
        return 1

    keys = [("stuck", "m"), ("up", "m")]
    found = await warm(keys, fetch, str(tmp_path), "20260225", 1, lambda done: None)
    assert [each.error for each in found] == ["it took longer than 50 s", None]
    assert os.listdir(tmp_path) == ["up_m_20260225.json"]
    assert asyncio.get_running_loop().time() + fetching.GRACE < Limits().answer  # over HTTP, too


async def test_one_that_will_not_be_cancelled_is_not_waited_for(tmp_path: Path) -> None:
    let_go = asyncio.Event()

    async def fetch(ticker: str, module: str) -> Any:
        while ticker == "stuck" and not let_go.is_set():
            with suppress(asyncio.CancelledError):
                await let_go.wait()
        return 1

    keys = [("stuck", "m"), ("up", "m")]
    found = await warm(keys, fetch, str(tmp_path), "20260225", 1, lambda done: None)
    assert [each.error for each in found] == ["it took longer than 50 s", None]
    let_go.set()
    await asyncio.sleep(0)


@pytest.mark.parametrize("kind", ["deaf", "willing"])
async def test_a_warm_up_that_is_cancelled_ends_and_leaves_nothing_behind(
    tmp_path: Path, kind: str
) -> None:
    let_go = asyncio.Event()

    async def fetch(ticker: str, module: str) -> Any:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            if kind == "willing":
                raise
            await let_go.wait()

    keys = [(f"s{n}", "m") for n in range(3)]
    work = warm(keys, fetch, str(tmp_path), "20260225", 2, lambda done: None)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(10):
            await work
    assert asyncio.get_running_loop().time() < 15 and os.listdir(tmp_path) == []
    let_go.set()
    for _ in range(3):
        await asyncio.sleep(0)


def test_a_thread_that_hangs_holds_up_neither_the_others_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "LONGEST", 0.2)
    stuck = threading.Event()

    def fetch(ticker: str, module: str) -> Any:
        return stuck.wait() if ticker == "stuck" else 1

    def patient(done: float) -> None:
        monkeypatch.setattr(fetching, "LONGEST", 60.0)  # a loaded machine begins threads late

    def warmed(*tickers: str) -> list[str | None]:
        keys = [(each, "m") for each in tickers]
        warming = warm(keys, fetch, str(tmp_path), "20260225", 1, patient)
        return [each.error for each in asyncio.run(warming)]  # waits for the threads of its pool

    try:
        assert warmed("stuck", "up") == ["it took longer than 0.2 s", None]
        monkeypatch.setattr(fetching, "MOST_HUNG", 1)
        [refused] = warmed("up")
        assert refused is not None and "1 before it have not come to an end" in refused
    finally:
        stuck.set()
    for thread in [*fetching._hung]:
        thread.join(10)
    assert warmed("up") == [None]


@pytest.mark.parametrize("jobs", [1, 3])
async def test_so_many_are_fetched_at_once_and_no_more(tmp_path: Path, jobs: int) -> None:  # 2-39
    under_way = most = 0

    async def fetch(ticker: str, module: str) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(1)
        under_way -= 1

    keys = [(f"s{n}", "m") for n in range(9)]
    await warm(keys, fetch, str(tmp_path), "20260225", jobs, lambda done: None)
    assert most == jobs and asyncio.get_running_loop().time() == pytest.approx(9 / jobs)


def test_no_key_is_a_path_and_no_two_keys_share_a_file() -> None:
    words = [
        "a",
        "A-1",
        "..",
        ".",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "a b",
        "a_b",
        "a\0",
        "名",
        "x" * 9000,
    ]
    names = {file_of((one, other), "20260225") for one in words for other in words}
    assert len(names) == len(words) ** 2
    assert all(len(name) < 120 and name.isascii() for name in names)
    assert not any(set(name) & set("/\\: \0") for name in names)


def test_what_is_wanted_within_the_horizon_counts_not_what_is_next(capsys: Capture) -> None:
    store = opened()  # twenty keys in turn, one a minute: each is wanted within the hour  # 1-58
    rows = [Query(1e9 + 60 * n, f"s{n % 20}", "m", True) for n in range(200)]
    store.record_all(rows)
    at = rows[-1].at
    quarter = Learned(store, PrefetchConfig())
    hour = Learned(store, PrefetchConfig(horizon=7200, top_n=20))
    assert quarter.pace(at) == pytest.approx(15, abs=0.1)
    assert hour.pace(at) == pytest.approx(120, abs=1)
    assert len(list(quarter.worth_fetching(at))) < 20 == len(list(hour.worth_fetching(at)))
    last = hour.needed(("s19", "m"), 0.05, at)
    assert last == pytest.approx(1 - 0.95**120, abs=0.03)
    assert list(Learned(store, PrefetchConfig(enabled=False)).worth_fetching(at)) == []


def test_of_a_moment_no_more_is_concluded_than_was_seen_in_it() -> None:
    store = opened()
    store.record_all([Query(1e9 + n / 10, "AAPL", "price", True) for n in range(8)])
    store.record(Query(1e9 + 1, "TSLA", "price", hit=False))
    learned = Learned(store, PrefetchConfig())
    assert learned.pace(1e9 + 2) == 8
    seldom = learned.needed(("TSLA", "price"), 0.05, 1e9 + 2)
    assert seldom == pytest.approx(0.6, abs=0.1)


def test_a_clock_that_was_wrong_for_a_moment_changes_no_pace() -> None:
    store = opened()
    rows = [Query(1e9 + 60 * n, f"s{n % 20}", "m", True) for n in range(200)]
    wrong = [Query(at, "s1", "m", True) for at in (0.0, 60.0, 2e11)]
    store.record_all([*rows[:50], *wrong, *rows[50:]])
    pace = Learned(store, PrefetchConfig()).pace(rows[-1].at)
    assert pace == pytest.approx(15, rel=0.05)


def test_the_more_was_recorded_the_better_it_is_predicted() -> None:
    marks = []
    for many in (16, 400):
        store = opened(f"data-{many}")
        words = ["a", "b", "c", "a", "d"] * (many // 5)
        store.record_all([Query(1e9 + 60 * n, word, "m", True) for n, word in enumerate(words)])
        learned: Calibration = Learned(store, PrefetchConfig(), "ensemble").marks
        marks.append(learned.within(1))
        store.close()
    assert marks[0] < marks[1]  # 2-30


def test_help_has_examples(capsys: Capture) -> None:
    for command in ("prefetch-stats", "prefetch-warmup", "prefetch-config", "record-query"):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        told = capsys.readouterr().out
        assert f"foretell {command}" in told.split("Example:")[1]  # 2-41
