"""What a game asks of its store reaches the history, and what that predicts the store."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import foretell
from foretell.cli import main
from foretell.errors import ConfigError
from foretell.prefetch import closed, opened
from foretell.sinks.usage_store import Query

NOON = 1_772_020_800.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    def wall() -> float:
        return NOON + asyncio.get_running_loop().time()

    monkeypatch.setattr("foretell.game.time", SimpleNamespace(time=wall))
    yield str(tmp_path / "usage")
    closed(tmp_path / "usage")


def history(folder: str) -> list[Query]:
    return list(opened(folder).history())


async def an_evening(game: foretell.Game, nights: int = 20) -> None:
    """Every ten minutes somebody greets the innkeeper, and a goblin makes its plan."""
    for number in range(nights):
        if await game.store.get("greeting") is None:
            game.store.store("greeting", ["Well met."], 1)
        where = {"pos": [10 + number % 2, 10]}
        await game.store.get_or_compute(where, lambda snapshot: ["wait"], scope="plan", ttl=1)
        await asyncio.sleep(600)


async def test_each_look_up_of_a_games_store_is_in_the_history(folder: str) -> None:  # 1-38
    async with foretell.Game({"usage_dir": folder}) as game:
        heard: list[Any] = []
        game.store.on_access = heard.append
        game.store.store("a", ["x"])
        assert game.store.ready("a") and game.store.ready("b") is None
        for x in (10, 11, 50):
            await game.store.get_or_compute({"x": x}, lambda snapshot: ["p"], scope="plan")
            await asyncio.sleep(10)
        assert [(at - NOON, *rest) for at, *rest in history(folder)] == [
            (0, "a", "key", True),
            (0, "b", "key", False),
            (0, '{"x":10}', "scope:plan", False),
            (10, '{"x":10}', "scope:plan", True),
            (20, '{"x":50}', "scope:plan", False),
        ]
        assert len(heard) == 5
        game.store.ready("at the end")
    assert history(folder)[-1].subject == "at the end"


async def test_without_a_folder_nothing_is_recorded(tmp_path: Path) -> None:
    async with foretell.Game() as game:
        game.store.ready("a")
        with pytest.raises(ConfigError, match="usage_dir"):
            await game.expected()
    assert not [*tmp_path.iterdir()]  # noqa: ASYNC240


async def test_what_was_asked_for_is_warm_before_it_is_asked_for_again(folder: str) -> None:
    async with foretell.Game({"usage_dir": folder}) as game:  # 1-38, 1-40, 3-34
        await an_evening(game)
    async with foretell.Game({"usage_dir": folder}) as game:
        assert await game.expected() == ["greeting"]
        assert await game.expected("plan") == [{"pos": [10, 10]}]
        assert await game.expected("another") == []
        for key in game.store.missing(await game.expected()):
            game.store.store(key, ["Well met, all."])
        made: list[Any] = []

        def make(snapshot: Any) -> list[str]:
            made.append(snapshot)
            return ["wait"]

        assert await game.warm_up(await game.expected("plan"), make, scope="plan") == 1
        assert await game.store.get("greeting") == ["Well met, all."]
        near = {"pos": [11, 11]}
        assert await game.store.get_or_compute(near, make, scope="plan") == ["wait"]
        assert made == [{"pos": [10, 10]}] and game.store.metrics().hit_rate() == 1.0
    assert [query.hit for query in history(folder)[-2:]] == [True, True]


async def test_what_is_not_fetched_ahead_by_the_configuration_is_not_expected(folder: str) -> None:
    async with foretell.Game({"usage_dir": folder}) as game:
        await an_evening(game)
    assert main(["prefetch-config", "--enable", "false", "--data", folder]) == 0
    async with foretell.Game({"usage_dir": folder}) as game:
        assert await game.expected() == []


@pytest.mark.real_time
async def test_the_command_line_shows_what_a_running_game_asks_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # 1-38
    folder = str(tmp_path / "usage")
    async with foretell.Game({"usage_dir": folder}) as game:
        for _ in range(3):
            game.store.ready("greeting")
        await game.store.get_or_compute({"x": 1}, lambda snapshot: ["p"])
        async with asyncio.timeout(20):
            while not Path(folder).exists() or len(history(folder)) < 4:  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.05)
        capsys.readouterr()
        assert await asyncio.to_thread(main, ["prefetch-stats", "--data", folder, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
    assert told["total_queries"] == 4 and told["cache_misses"] == 4
    assert told["top_tickers"] == [["greeting", 3], ['{"x":1}', 1]]
    closed(folder)


async def test_a_folder_that_cannot_be_used_costs_one_line_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:  # G10
    (tmp_path / "file").write_text("no folder")
    with caplog.at_level(logging.WARNING):
        async with foretell.Game({"usage_dir": str(tmp_path / "file")}) as game:
            for _ in range(3):
                game.store.store("a", ["x"])
                assert game.store.ready("a") == ["x"] and game.store.ready("\ud83d") is None
                await asyncio.sleep(5)
    assert [record.message[:21] for record in caplog.records] == ["usage is not recorded"]


async def test_of_very_many_in_a_second_the_first_are_only_counted(folder: str) -> None:  # G3
    async with foretell.Game({"usage_dir": folder}) as game:
        game.store.store("there", ["x"])
        for number in range(12_000):
            game.store.ready("there" if number % 2 else "absent")
        await asyncio.sleep(2)
        assert len(history(folder)) == 10_000
        assert opened(folder).totals() == (6_000, 6_000)


async def test_what_is_no_text_or_too_long_costs_only_itself(folder: str) -> None:  # G10, G3
    async with foretell.Game({"usage_dir": folder}) as game:
        for key in ("\ud83d", "x" * 5000, "", "good"):
            assert game.store.ready(key) is None
        await game.store.get_or_compute({"long": "x" * 5000}, lambda snapshot: ["p"])
        await game.store.get_or_compute({"x": float("nan")}, lambda snapshot: ["p"])
    assert [query.subject for query in history(folder)] == ["good", '{"x":null}']


async def test_what_cannot_be_written_waits_until_it_can_and_both_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "usage"
    place.write_text("no folder")
    async with foretell.Game({"usage_dir": str(place)}) as game:
        for again in (1, 2):
            for number in range(6_000):
                game.store.ready(f"key-{number % 3}")
            await asyncio.sleep(5)
            assert len(caplog.records) == 1, again
        place.unlink()
        game.store.store("there", ["x"])
        game.store.ready("there")
        await asyncio.sleep(5)
        assert len(history(str(place))) == 10_000  # the others are only counted
        assert opened(str(place)).totals() == (1, 12_000)
        closed(str(place))
        shutil.rmtree(place)
        place.write_text("no folder again")
        game.store.ready("there")
        await asyncio.sleep(5)
        assert len(caplog.records) == 2
        assert {each.message[:21] for each in caplog.records} == {"usage is not recorded"}
