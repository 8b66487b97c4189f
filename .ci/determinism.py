"""One replay on every Python and hash seed: the same trace, byte for byte.

    python .ci/determinism.py [PYTHON...]

Each PYTHON must have foretell installed. With none named: this one, and every other supported
version found on the PATH or in pyenv, each in an environment that is thrown away.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VERSIONS = ("3.11", "3.12", "3.13")
HASH_SEEDS = ("0", "424242")


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


def hashes(folder: Path, recording: Path | None) -> dict[str, str]:
    from foretell.config import Settings
    from foretell.game import narrator
    from foretell.replay import load, play
    from foretell.testing import run_virtual

    found = {}
    logs = [made_log(folder / f"made-{seed}.jsonl", seed) for seed in (1, 2)]
    if recording is not None:
        from foretell.streams.importers import convert_file

        logs.append(folder / "fireball.jsonl")
        convert_file("fireball", str(recording), str(logs[-1]), 0)
    for log in logs:
        found[f"{log.stem}: log"] = hashlib.sha256(log.read_bytes()).hexdigest()
        for intensity in ("conservative", "aggressive"):
            settings = Settings.load({"intensity": intensity, "seed": 5})
            run = run_virtual(play(load(log)[1], settings, model=narrator(settings)))
            found[f"{log.stem}: {intensity}"] = run.trace_sha256
    return found


# ── from outside: every Python there is ──────────────────────────────────────────────────────────


def run(python: str, hash_seed: str, recording: Path | None) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        ran = subprocess.run(
            [python, __file__, "--hashes", folder, *([str(recording)] if recording else [])],
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


def main(pythons: list[str]) -> int:
    data = Path(os.environ.get("FORETELL_DATA") or ROOT.parent / "shared/data")
    recording: Path | None = data / "fireball/raw.jsonl"
    if recording is not None and not recording.is_file():
        print(f"the recorded combat: skipped, not at {recording} (FORETELL_DATA says where)")
        recording = None
    expected: dict[str, str] = {}
    differences = 0
    with tempfile.TemporaryDirectory() as folder:
        for python in pythons or environments(Path(folder)):
            version = subprocess.check_output(
                [python, "-c", "import platform; print(platform.python_version())"], text=True
            ).strip()
            for hash_seed in HASH_SEEDS:
                found = run(python, hash_seed, recording)
                expected = expected or found
                wrong = [name for name in expected if found.get(name) != expected[name]]
                differences += len(wrong)
                print(f"Python {version}, hash seed {hash_seed}: {'; '.join(wrong) or 'the same'}")
    for name, value in expected.items():
        print(f"  {value}  {name}")
    if differences:
        print(f"determinism: {differences} differences", file=sys.stderr)
    return 1 if differences else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--hashes"]:
        given = Path(sys.argv[3]) if len(sys.argv) > 3 else None
        print(json.dumps(hashes(Path(sys.argv[2]), given)))
        sys.exit()
    sys.exit(main([os.path.abspath(python) for python in sys.argv[1:]]))
