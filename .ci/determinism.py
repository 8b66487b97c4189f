"""One replay on every Python and hash seed: the same trace, byte for byte.

    python .ci/determinism.py [--runs 2] [--jobs 4] [PYTHON...]

Each PYTHON must have foretell installed. With none named: this one, and every other supported
version found on the PATH or in pyenv, each in an environment that is thrown away. Played are made
logs and, where FORETELL_DATA (or ../shared/data) has them, recorded ones, RUNS times each.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13")
HASH_SEEDS = ("0", "424242")
RECORDED = (
    ("fireball", "fireball/raw.jsonl"),
    ("nwn", "nwn/lalaland_04-03_full.log"),
    ("showdown", "showdown/gen1randombattle-000.log"),
    ("showdown", "showdown/gen9randombattle-000.log"),
)


# ── in each Python: what is replayed, and its hashes ─────────────────────────────────────────────


def made_log(path: Path, seed: int) -> Path:
    """A log of some minutes with all a game may do, drawn from a seed."""
    from foretell.testing import LogBuilder

    rng = random.Random(seed)
    actors = {
        f"a{n}": {
            "name": f"Actor {n}",
            "side": ("party", "foes")[n % 2],
            "hp": 40,
            "max_hp": 40,
            "attacks": ["bow", "axe", "claw"],
        }
        for n in range(6)
    }
    state: dict[str, Any] = {"mode": "combat", "location": {"id": "mill"}, "actors": actors}
    log = LogBuilder("made").state(state)
    for turn in range(40):
        actor, target, other = rng.sample(sorted(actors), 3)
        log.wait(rng.uniform(0.1, 9)).turn(actor)
        log.wait(rng.uniform(2, 6))
        if rng.random() < 0.3:
            log.undeclared(actor, "axe", "hit", target=other, damage=1).wait(rng.uniform(0, 3))
        log.action(actor, rng.choice(("bow", "axe")), target=target)
        if rng.random() < 0.2:
            actors[target]["name"] = f"Renamed {turn}"
            log.wait(rng.uniform(0, 3)).state(json.loads(json.dumps(state)))
        damage = rng.randint(1, 9)
        log.wait(rng.uniform(0, 8)).outcome(rng.choice(("hit", "miss", "critical")), damage=damage)
        actors[target]["hp"] = max(0, actors[target]["hp"] - damage)
        log.wait(rng.choice((0, 0.02, 2))).state(json.loads(json.dumps(state)))
        if rng.random() < 0.1:
            log.wait(0.5).rewind(max(0.0, log.events[-1].t - 20))
    log.write(path)
    return path


def recorded_logs(folder: Path, data: Path) -> Iterator[Path]:
    """Session logs of the recordings that there are."""
    from foretell.streams.importers import convert_file

    for form, name in RECORDED:
        if (data / name).is_file():
            log = folder / f"{form}-{Path(name).stem}.jsonl"
            convert_file(form, str(data / name), str(log), 0)
            yield log


def session_of(log: Path, folder: Path) -> Path:
    """The recording of a session that is told what a log holds."""
    import asyncio

    import foretell
    from foretell.game import narrator
    from foretell.replay import load
    from foretell.testing import run_virtual

    settings = foretell.Settings(log_dir=str(folder))

    async def record() -> None:
        async with foretell.Game(settings, model=narrator(settings)) as game:
            session = await game.session("recording")
            for event in load(log)[1][:-1]:
                await asyncio.sleep(max(0.0, event.t - asyncio.get_running_loop().time()))
                session.play(event)
            await session.close(60)

    run_virtual(record())
    return folder / "recording.jsonl"


def planned_night(folder: Path, seed: int) -> Path:
    """The recording of a session that plans for eight agents, with all that may go wrong."""
    import asyncio

    import foretell
    from foretell.streams.models import ModelCut, ModelOverloaded
    from foretell.testing import Script, ScriptedModel, run_virtual

    rng = random.Random(f"planned {seed}")
    steps = [{"do": "TakeCover", "x": 1, "y": 2}, {"do": "Fly"}, {"do": "Scan"}, {"do": "Wait"}]

    def answer(request: Any, number: int) -> Script:
        told = json.loads(request.messages[-1].text.split("\nFACTS ")[1])["agents"]
        several = [{"agent": each["id"], "steps": rng.sample(steps, 3)} for each in told]
        whole = {"plans": several} if len(told) > 1 else several[0]
        wrong = rng.choice((None, None, ModelOverloaded("529"), ModelCut("cut")))
        pace = {"ttft": rng.uniform(0.1, 2), "teardown": rng.choice((0, 3, 3))}
        return Script(whole, error=wrong, chunks=rng.randrange(8), **pace)

    async def follow(planning: foretell.Planning) -> None:
        async for step in planning:
            await asyncio.sleep(rng.choice((0, 0.4)))
            if rng.random() < 0.2:
                step.failed("it is barred")

    async def record() -> None:
        plans = {"deadline": 4.0, "streams": 6, "batch_size": 3, "window": 3}
        settings = {"log_dir": str(folder), "plans": plans}
        async with foretell.Game(settings, model=ScriptedModel(answer)) as game:
            session, following = await game.session(f"planned-{seed}"), []
            for _ in range(80):
                await asyncio.sleep(rng.choice((0, 0, 0.01, 0.7)))
                seen = {"me": {"pos": [3, 4], "hp": 9, "ammo": rng.randrange(3)}, "others": {}}
                seen["others"] = {f"foe {n}": {"pos": [n, 9]} for n in range(rng.randrange(3))}
                ask = rng.choice((session.plan, session.queue_agent))
                planning = ask(f"agent {rng.randrange(8)}", seen)
                following.append(asyncio.ensure_future(follow(planning)))
            for number in range(8):  # and many are still open at the end
                session.plan(f"agent {number}", {"me": {"pos": [number, 4]}}, goal="hold on")
            await asyncio.sleep(0.01)
            await session.close()
            await asyncio.gather(*following)

    run_virtual(record())
    return folder / f"planned-{seed}.jsonl"


def hashes(folder: Path, data: Path, runs: int) -> dict[str, str]:
    from foretell.config import Settings
    from foretell.replay import play
    from foretell.replay.source import opened
    from foretell.testing import run_virtual

    found: dict[str, str] = {}
    made = [made_log(folder / f"made-{seed}.jsonl", seed) for seed in (1, 2)]
    logs = [*made, *recorded_logs(folder, data)]
    for log in logs:
        found[f"{log.stem}: log"] = hashlib.sha256(log.read_bytes()).hexdigest()
    planned = planned_night(folder, 0)
    lines = planned.read_bytes().splitlines()[2:]  # what stands before them has the date
    found["planned: recording"] = hashlib.sha256(b"".join(lines)).hexdigest()
    conservative, aggressive = (
        Settings.load({"intensity": intensity, "seed": 5})
        for intensity in ("conservative", "aggressive")
    )
    nights = [(log, conservative, runs) for log in logs]
    nights += [(log, aggressive, 1) for log in logs if not log.stem.startswith("nwn")]
    nights.append((session_of(logs[0], folder), aggressive, runs))
    nights.append((planned, conservative, runs))
    for log, settings, times in nights:
        name = f"{log.stem}: {settings.intensity}"
        for number in range(1, times + 1):
            with opened(log, settings) as source:
                model = source.model(settings)
                trace = run_virtual(play(source.inputs, settings, model=model)).trace_sha256
            if trace != found.setdefault(name, trace):
                found[name] += f", but {trace} in run {number}"
                break
    return found


# ── from outside: every Python there is ──────────────────────────────────────────────────────────


def run(python: str, hash_seed: str, data: Path, runs: int) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(
            [python, __file__, "--hashes", folder, "--data", str(data), "--runs", str(runs)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            cwd=folder,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    return {str(name): str(value) for name, value in json.loads(ran.stdout).items()}


def find(version: str) -> str | None:
    """A Python of this version that can make environments."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [str(path) for path in sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)]
    check = f"import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != {version_of(version)})"
    for python in (*found, shutil.which(f"python{version}")):
        if (
            python
            and not subprocess.run(
                [python, "-c", check], capture_output=True, check=False
            ).returncode
        ):
            return python
    return None


def version_of(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def environments(folder: Path) -> Iterator[str]:
    yield sys.executable
    for version in VERSIONS:
        if sys.version_info[:2] == version_of(version):
            continue
        python = find(version)
        if python is None:
            print(f"Python {version}: skipped, there is none here that can make environments")
            continue
        place = folder / version
        made = subprocess.run(
            [python, str(ROOT / ".ci/venv.py"), str(place), "server"],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            lines = [line for line in made.stderr.splitlines() if "ERROR" in line]
            reason = lines[0] if lines else "no reason given"
            print(f"Python {version}: skipped, foretell cannot be installed: {reason}")
            continue
        yield str(next(place.glob("bin/python"), place / "Scripts/python.exe"))


def main() -> int:
    parser = argparse.ArgumentParser(description="The same replay on every Python and hash seed.")
    parser.add_argument("pythons", nargs="*", metavar="PYTHON")
    parser.add_argument("--runs", type=int, default=2, metavar="N", help="of each log [2]")
    jobs = min(4, os.cpu_count() or 1)
    parser.add_argument("--jobs", type=int, default=jobs, metavar="N", help=f"at a time [{jobs}]")
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--hashes", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.hashes is not None:
        print(json.dumps(hashes(args.hashes, args.data, args.runs)))
        return 0
    data = Path(os.environ.get("FORETELL_DATA") or ROOT.parent / "shared/data")
    for name in (name for _, name in RECORDED if not (data / name).is_file()):
        print(f"{name}: skipped, not in {data} (FORETELL_DATA says where)")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(args.jobs) as pool:
        pythons = [os.path.abspath(python) for python in args.pythons]
        ways = [(python, seed) for python in pythons or environments(Path(folder))
                for seed in HASH_SEEDS]  # fmt: skip
        return compared(ways, pool.map(lambda way: run(*way, data, args.runs), ways))


def compared(ways: list[tuple[str, str]], every: Iterator[dict[str, str]]) -> int:
    """Print where the hashes of all ways differ from those of the first."""
    expected: dict[str, str] = {}
    differences = 0
    for (python, hash_seed), found in zip(ways, every, strict=True):
        version = subprocess.check_output(
            [python, "-c", "import platform; print(platform.python_version())"], text=True
        ).strip()
        expected = expected or found
        wrong = [name for name in expected if found.get(name) != expected[name]]
        wrong += [name for name, value in found.items() if ", but " in value and name not in wrong]
        differences += len(wrong)
        print(f"Python {version}, hash seed {hash_seed}: {'; '.join(wrong) or 'the same'}")
    for name, value in expected.items():
        print(f"  {value}  {name}")
    if differences:
        print(f"determinism: {differences} differences", file=sys.stderr)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
