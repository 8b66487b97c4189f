"""Plans in a recording: replayed exactly, under other settings, and gone on with."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell import PlanStatus, Registry
from foretell.cli import main
from foretell.errors import StateError
from foretell.replay.verify import verify
from foretell.streams.log import read, seal
from foretell.streams.models import ModelCut, ModelOverloaded, ModelUnavailable
from foretell.testing import Script, ScriptedModel, run_virtual

SNAPSHOT: dict[str, Any] = {
    "me": {"id": "grik", "side": "foes", "pos": [3, 4], "hp": 9, "max_hp": 12, "ammo": 2},
    "others": {
        "mira": {"side": "party", "pos": [9, 4], "hp": 20, "max_hp": 21},
        "snag": {"side": "foes", "pos": [2, 2], "hp": 5, "max_hp": 12},
    },
}
WHOLE = {
    "steps": [
        {"do": "TakeCover", "x": 1, "y": 2}, {"do": "Fly"}, {"do": "Attack", "target": "mira"},
        {"do": "Scan"},
    ]
}  # fmt: skip
STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 21},
        "grik": {"name": "Grik", "side": "foes", "hp": 9, "max_hp": 12},
    },
}
TELLING = {"text": "The blade bites, and {target} gives ground.", "lines": [], "cues": []}
DOWN = "http://user@example.com:80/a/secret/path is not there"
OWN = {
    "tools": [
        {"name": "Howl", "doc": "Frighten somebody.", "params": {"at": {"kind": "target"}},
         "worth": [{"points": 3}]},
        {"name": "Sit", "doc": "Stay.", "safe": True},
    ]
}  # fmt: skip


def answers(rng: random.Random) -> Any:
    """A model that is slow, stalls, fails in every way, and takes its time to close."""

    def answer(request: Any, number: int) -> Script:
        whole = WHOLE if request.purpose == "plan" else TELLING
        times = {
            "ttft": rng.choice((0.1, 0.9)), "delay": rng.choice((0.01, 0.1)),
            "teardown": rng.choice((0, 0.2, 1.5)),
        }  # fmt: skip
        if rng.random() < 0.5:
            return Script(whole, **times)
        errors = (ModelUnavailable(DOWN), ModelOverloaded("later", retry_after=0.3))
        return rng.choice(
            (
                Script(error=rng.choice(errors), ttft=0.2),
                Script(whole, error=ModelCut("cut"), chunks=rng.randrange(12), **times),
                Script(whole, hangs=True, chunks=rng.randrange(12), **times),
                Script("prose [1] and {no plan}", **times),
                Script(whole, stop=rng.choice(("refusal", "max_tokens")), **times),
                Script(error=KeyError("a bug of the model's"), ttft=0.2),
            )
        )

    return answer


def guest(rng: random.Random) -> Any:
    def fallback(agent: str, snapshot: Mapping[str, Any], tools: Registry) -> list[Any]:
        if rng.random() < 0.3:
            raise ValueError("a bug of the game's")
        return [{"do": "Retreat", "target": "mira"}, {"do": "Fly"}, {"do": "Wait"}]

    return fallback


async def night(session: foretell.Session[Any], rng: random.Random, moves: int) -> None:
    """A game that does all that a game may do with plans, and tells blows beside it."""
    session.update(STATE)
    plannings: dict[str, foretell.Planning] = {}
    fallback, followers = guest(rng), []

    async def follow(planning: foretell.Planning) -> None:
        async for step in planning:
            await asyncio.sleep(rng.choice((0, 0.05, 0.4)))
            if rng.random() < 0.15:
                step.failed(rng.choice(("", "the door is barred")))

    for move in range(moves):
        await asyncio.sleep(rng.choice((0, 0, 0.01, 0.3, 1.5)))
        agent, what = f"agent {rng.randrange(6)}", rng.random()
        scene = deepcopy(SNAPSHOT)
        scene["me"] |= {"pos": [rng.randrange(40), 4], "ammo": rng.randrange(3)}
        if rng.random() < 0.3:
            scene["others"][f"foe {rng.randrange(3)}"] = {"side": "party", "hp": 3}
        with suppress(StateError):
            if what < 0.7:
                goal = rng.choice(("", "", "hold the bridge"))
                own = rng.choice((None, None, fallback))
                planning = session.plan(agent, scene, goal=goal, fallback=own)
                if plannings.get(agent) is not planning:
                    plannings[agent] = planning
                    followers.append(asyncio.ensure_future(follow(planning)))
            elif what < 0.8 and agent in plannings:
                plannings[agent].cancel()
            elif what < 0.9:
                session.outcome("mira", "longsword", "hit", target="grik", damage=move)
            else:
                session.intensity = rng.choice(("off", "aggressive"))
    if rng.random() < 0.5:
        await asyncio.sleep(20)
    await session.close(drain=5.0)
    await asyncio.gather(*followers)


def recorded(folder: Path, seed: int = 0, moves: int = 40, parts: int = 1, **given: Any) -> Path:
    async def evenings() -> None:
        rng = random.Random(seed)
        for _ in range(parts):
            model = ScriptedModel(answers(rng))
            options = {"tools": given["tools"]} if "tools" in given else {}
            settings = {k: v for k, v in given.items() if k != "tools"}
            async with foretell.Game(
                {"log_dir": str(folder), **settings}, model=model, **options
            ) as game:
                await night(await game.session("table-7"), rng, moves)
            assert not model.open

    run_virtual(evenings())
    return folder / "table-7.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [record.data for record in read(path)]


def kinds(path: Path, kind: str) -> list[dict[str, Any]]:
    return [line for line in lines(path) if line["kind"] == kind]


@pytest.mark.parametrize("seed", range(12))
def test_a_night_with_plans_is_replayed_line_by_line(tmp_path: Path, seed: int) -> None:
    path = recorded(tmp_path, seed, parts=1 + seed % 2)  # 3-26, 3-38
    assert {line["what"] for line in kinds(path, "~agent")} >= {"asked"}
    walked = verify(path, heavy=True)
    assert walked.difference is None and walked.closed
    assert b"secret" not in path.read_bytes()
    assert walked.lines == len(lines(path)) - 1  # all but the header


def test_nights_have_all_that_may_happen_to_a_plan(tmp_path: Path) -> None:
    said: set[str] = set()
    for seed in range(6):
        path = recorded(tmp_path / str(seed), seed, moves=60)
        said |= {line["what"] for line in kinds(path, "~agent")}
        said |= {line["status"] for line in kinds(path, "~planned")}
        said |= {line["source"] for line in kinds(path, "~step")}
        said |= {line["where"] for line in kinds(path, "~fault")}
    assert said >= {
        "asked", "failed", "left", "fallback", "heuristic", "simplified", *map(str, PlanStatus),
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_every_plan_ends_once_by_its_deadline_with_steps_that_were_valid(
    tmp_path: Path, seed: int
) -> None:  # 3-40
    path = recorded(tmp_path, seed, moves=80, plans={"deadline": 3.0, "streams": 2})
    begun: dict[str, float] = {}
    for line in lines(path):
        if line["kind"] == "~agent" and line["what"] in ("asked", "failed"):
            begun[line["plan"]] = line["t"]
        elif line["kind"] == "~planned":
            assert line["t"] - begun.pop(line["plan"]) <= 3.000001
            assert line["steps"] > 0
    assert not begun


def test_the_same_night_leaves_the_same_recording(tmp_path: Path) -> None:  # 3-38
    first, second = (lines(recorded(tmp_path / name, 3, moves=60))[2:] for name in "ab")
    assert first == second  # but for the header, which has the date


def test_a_line_that_was_edited_is_found(tmp_path: Path) -> None:
    path = recorded(tmp_path, 1)
    changed = tmp_path / "changed.jsonl"
    done, out = False, []
    for line in lines(path):
        if line["kind"] == "~agent" and line["what"] == "asked" and not done:
            line["snapshot"]["me"]["hp"] = 1
            line.pop("sum", None)
            line, done = seal(line), True
        out.append(orjson.dumps(line))
    changed.write_bytes(b"\n".join(out) + b"\n")
    difference = verify(changed).difference
    assert difference is not None
    assert difference.operator in ("plan", "speculate or tell", "log")


@pytest.mark.parametrize(
    "wrong", [{"plan": "x"}, {"what": "shout"}, {"snapshot": 3}, {"done": [1]}]
)
def test_a_line_no_session_has_written_is_refused_in_a_line(
    tmp_path: Path, wrong: dict[str, Any]
) -> None:
    path = recorded(tmp_path, 1)
    changed = tmp_path / "changed.jsonl"
    out, done = [], False
    for line in lines(path):
        if line["kind"] == "~agent" and not done:
            line, done = seal({k: v for k, v in {**line, **wrong}.items() if k != "sum"}), True
        out.append(orjson.dumps(line))
    changed.write_bytes(b"\n".join(out) + b"\n")
    assert "was not written by Foretell" in str(verify(changed).difference)


def test_a_games_own_tools_are_in_its_recording(tmp_path: Path) -> None:
    path = recorded(tmp_path, 5, tools=OWN)
    [opened] = kinds(path, "~opened")
    assert [tool["name"] for tool in opened["tools"]["tools"]] == ["Howl", "Sit"]
    assert {line["step"]["do"] for line in kinds(path, "~step")} <= {"Howl", "Sit"}
    assert verify(path).difference is None  # which has no game of its own


def test_a_recording_without_plans_says_nothing_of_them(tmp_path: Path) -> None:
    async def evening() -> None:
        async with foretell.Game({"log_dir": str(tmp_path)}, model=ScriptedModel(TELLING)) as game:
            session = await game.session("table-7")
            session.update(STATE)
            await session.outcome("mira", "longsword", "hit", target="grik", damage=2)

    run_virtual(evening())
    path = tmp_path / "table-7.jsonl"
    assert "tools" not in kinds(path, "~opened")[0]
    assert not any(b"plan" in orjson.dumps(line) for line in lines(path))


def test_a_killed_session_goes_on_and_its_plans_are_counted_on(tmp_path: Path) -> None:
    path = recorded(tmp_path, 2)
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[: 2 * len(whole) // 3]))
    last = max(int(line["plan"][1:]) for line in kinds(path, "~agent"))
    assert verify(path).difference is None

    async def next_evening() -> dict[str, Any]:
        model = ScriptedModel(Script(WHOLE))
        async with foretell.Game({"log_dir": str(tmp_path)}, model=model) as game:
            session = await game.session("table-7")
            before = session.plans_report()["plans"]
            planning = session.plan("grik", SNAPSHOT)
            assert planning.id == f"p{last + 1}"
            await planning
            return {"before": before, "after": session.plans_report()["plans"]}

    counted = run_virtual(next_evening())
    assert counted["after"] == counted["before"] + 1 > 1
    assert verify(path).difference is None


def test_a_replay_under_other_settings_asks_for_the_same_plans(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path, 4, moves=30)
    asked = len([line for line in kinds(path, "~agent") if line["what"] == "asked"])
    for options in ([], ["--intensity", "off"]):
        assert main(["replay", str(path), "--json", *options]) == 0
        found = orjson.loads(capsys.readouterr().out)
        assert found["plans"]["plans"] >= asked
        assert found["tokens"]["plan"] > 0
    assert main(["replay", str(path)]) == 0
    assert "plans      " in capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--intensity", "off"]], ids=["as it was", "another"])
def test_what_is_shown_of_a_recording_has_the_steps_between_the_tellings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    async def evening() -> None:
        def answer(request: Any, number: int) -> Script:
            return Script(WHOLE if request.purpose == "plan" else TELLING)

        settings = {"log_dir": str(tmp_path), "intensity": "off"}
        async with foretell.Game(settings, model=ScriptedModel(answer)) as game:
            session = await game.session("table-7")
            session.update(STATE)
            telling = session.outcome("mira", "longsword", "hit", target="grik", damage=2)
            await asyncio.sleep(0.1)
            await session.plan("grik", SNAPSHOT)
            await telling

    run_virtual(evening())
    assert main(["replay", str(tmp_path / "table-7.jsonl"), "--speed", "1000", *options]) == 0
    out = capsys.readouterr().out
    told = out.index("gives ground")
    steps = [out.index(step) for step in ("grik: Attack mira (heuristic)", "grik: TakeCover 1, 2")]
    assert told < steps[0] < steps[1]  # the first came while the blow was told, and waited
