"""``foretell cache-status`` and ``prefetch-warmup``, and what they stand on: scenarios."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

import foretell
from foretell.cli import main
from foretell.errors import ConfigError
from foretell.sinks.store_scenarios import ScenarioError, moments, scenarios
from foretell.streams import events as ev

DEMO = Path(foretell.__file__).parent / "examples" / "demo.jsonl"


def written(path: Path, *lines: Any) -> str:
    path.write_text(
        "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    )
    return str(path)


def printed(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    assert main([*args, "--json"]) == 0
    return json.loads(capsys.readouterr().out)  # type: ignore[no-any-return]


def test_a_logs_store_is_shown_as_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, "cache-status", str(DEMO))
    assert set(found["layers"]) == {"hot", "warm", "cold"}
    assert found["session"] == "demo-evening" or found["session"]
    assert found["stored"] > 0 and found["evictions"]["consumed"] > 0
    told = found["hits"] + found["misses"]
    assert 0 < found["hit_rate"] <= 1 and told > 0
    assert main(["cache-status", str(DEMO)]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"session {found['session']}") and "hit rate" in out and "warm" in out


def test_replay_reports_the_store_too(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, "replay", str(DEMO))
    assert found["cache"]["stored"] > 0


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("nowhere.jsonl", 1, "no such file"),
        ("redis://127.0.0.1:1/0", 1, ": it cannot be reached: is a Redis running there?"),
        ("redis://", 2, "not the URL of a cache"),
        ("memcached://127.0.0.1:1", 2, "cannot list"),
    ],
)
def test_what_cannot_be_shown_is_one_clear_line(
    source: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cache-status", source]) == code
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_a_shared_cache_is_filled_and_listed(
    redis: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # 3-34, 1-40
    assert printed(capsys, "cache-status", redis.url) == {"sessions": {}, "complete": True}
    file = written(
        tmp_path / "s.jsonl",
        {"key": "greeting", "variants": ["Well met."]},
        {"snapshot": {"pos": [1, 1]}, "variants": [{"do": "wait"}], "ttl": 90},
    )
    found = printed(capsys, "prefetch-warmup", file, "--cache-url", redis.url)
    assert found["stored"] == 2
    listed = printed(capsys, "cache-status", redis.url)
    assert listed["sessions"]["game"]["entries"] == 2 and listed["complete"]
    assert 0 < listed["sessions"]["game"]["expires_first"] <= 90
    mill = f"{redis.url}?name=mill"
    assert printed(capsys, "cache-status", mill) == {"sessions": {}, "complete": True}
    printed(capsys, "prefetch-warmup", file, "--cache-url", mill)
    assert [*printed(capsys, "cache-status", mill)["sessions"]] == ["game"]
    assert [*printed(capsys, "cache-status", redis.url)["sessions"]] == ["game", "mill:game"]

    async def other_process() -> tuple[Any, Any]:
        async with foretell.Game({"cache_url": redis.url, "cache_timeout": 1}) as game:
            wait = await game.store.get_or_compute({"pos": [1, 1]}, lambda s: ["made"])
            return await game.store.get("greeting"), wait

    assert asyncio.run(other_process()) == (["Well met."], [{"do": "wait"}])
    assert main(["cache-status", redis.url]) == 0
    assert "game" in capsys.readouterr().out
    redis.kill()
    assert main(["prefetch-warmup", file, "--cache-url", redis.url]) == 1
    assert "nothing is stored" in capsys.readouterr().err


def test_a_file_of_scenarios_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = written(
        tmp_path / "s.jsonl", {"key": "a", "variants": ["x"]}, "", {"snapshot": 1, "variants": [2]}
    )
    assert printed(capsys, "prefetch-warmup", good)["scenarios"] == 2
    assert main(["prefetch-warmup", good]) == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", ":2: not JSON"),
        ("[]", ":2: "),
        ({"variants": ["x"]}, ":2: it has neither a key nor a snapshot"),
        ({"key": "a", "variants": []}, ":2: variants: "),
        ({"key": "a", "variants": ["x"], "tll": 3}, ":2: tll: "),
        ({"key": "a", "variants": ["x"], "guard": [[["hp"], "over", 3]]}, ":2: guard"),
        ({"key": "a", "variants": ["x"], "guard": [[["hp"], "above", "x"]]}, ":2: the guard of hp"),
        ({"key": "a", "variants": ["x" * 70_000]}, ":2: it is larger"),
    ],
)
def test_a_bad_scenario_names_its_line(tmp_path: Path, line: Any, said: str) -> None:
    path = written(tmp_path / "s.jsonl", {"key": "a", "variants": ["x"]}, line)
    with pytest.raises(ScenarioError) as error:
        list(scenarios(path))
    assert f"{path}{said}" in str(error.value) and "\n" not in str(error.value)


def test_a_scenario_that_could_never_be_served_is_told_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = {"key": "a", "variants": ["x"], "depends": [["actors", "grik"]]}
    path = written(tmp_path / "s.jsonl", line)
    assert main(["prefetch-warmup", path]) == 1
    error = capsys.readouterr().err
    assert f"{path}:1: depends: no state is known" in error and error.count("\n") == 1


async def test_of_a_file_with_a_bad_scenario_none_is_stored(tmp_path: Path) -> None:
    path = written(tmp_path / "s.jsonl", {"key": "a", "variants": ["x"]}, {"key": "b"})
    async with foretell.Game() as game:
        with pytest.raises(ScenarioError):
            await game.warm_up(path)
        assert len(game.store) == 0


def test_the_common_moments_of_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(capsys, "prefetch-warmup", str(DEMO), "--top", "2")
    assert len(found["moments"]) == 2 and found["outcomes"] >= found["different"]
    assert main(["prefetch-warmup", str(DEMO)]) == 0
    assert "outcomes of" in capsys.readouterr().out


def test_moments_that_are_near_are_one_and_the_most_frequent_comes_first() -> None:
    def state(x: float) -> ev.State:
        return ev.State(0.0, {"actors": {"mira": {"pos": [x, 0]}, "grik": {"pos": [50, 0]}}})

    def act(name: str) -> ev.Outcome:
        action = {"type": "attack", "name": name, "target": "grik"}
        return ev.Outcome(0.0, (ev.Result("hit", "grik"),), actor="mira", action=action)

    found = moments([state(10), act("kick"), act("sword"), state(10.1), act("sword")])
    assert [(moment["action"]["name"], count) for moment, count in found] == [
        ("sword", 2),
        ("kick", 1),
    ]


async def test_a_game_is_warmed_up_from_a_file(tmp_path: Path) -> None:  # 3-34, 1-40
    file = written(
        tmp_path / "s.jsonl",
        {"key": "a", "variants": ["x"]},
        {"snapshot": {"pos": [1, 1]}, "scope": "plan", "variants": ["wait"], "tags": ["camp"]},
    )
    async with foretell.Game() as game:
        assert await game.warm_up(file) == 2
        assert game.store.ready("a") == ["x"]
        found = await game.store.get_or_compute({"pos": [2, 0]}, lambda s: ["made"], scope="plan")
        assert found == ["wait"]
        assert game.store.invalidate("camp") == 1


async def test_a_game_is_warmed_up_from_a_log_or_from_snapshots(
    caplog: pytest.LogCaptureFixture,
) -> None:  # 3-34
    made: list[Any] = []

    def make(snapshot: Any) -> list[Any]:
        made.append(snapshot)
        if len(made) == 1:
            raise RuntimeError("the first goes wrong")
        return ["plan"]

    async def keys() -> Any:
        for number in range(5):
            yield {"n": number}

    async with foretell.Game({"warm_cache_size": 3}) as game:
        with pytest.raises(ConfigError, match="give make"):
            await game.warm_up([{"n": 1}])
        assert await game.warm_up(DEMO, make) == 2, "as many as there is room for, less the first"
        assert "not warmed up: RuntimeError('the first goes wrong')" in caplog.text
        assert await game.warm_up(keys(), make) == 3
        assert await game.warm_up([{"n": 1}, {"n": 2}], make) == 2
        assert len(made) == 6, "what is there is not made again"
