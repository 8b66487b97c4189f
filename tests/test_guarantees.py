"""The guarantees, as properties of random worlds in virtual time.

What must hold after every step, and how it is judged from outside, is in ``foretell.testing``;
``test_simulation.py`` shows that it finds what is wrong.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.testing import draw, play

EXAMPLES = int(os.environ.get("FORETELL_EXAMPLES", "100"))

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.timeout(600)
@given(seeds)
@settings(max_examples=EXAMPLES)
def test_every_guarantee_holds_after_every_step(seed: int) -> None:  # G1 to G10
    play(draw(seed))


@pytest.mark.timeout(600)
@given(seeds)
@settings(max_examples=max(1, EXAMPLES // 4))
def test_the_same_seed_gives_the_same_trace(seed: int) -> None:  # G9
    play(draw(seed), twice=True)


def test_no_wall_clock_and_no_global_chance(monkeypatch: pytest.MonkeyPatch) -> None:  # G8
    def forbidden(*args: Any, **kwargs: Any) -> NoReturn:
        raise AssertionError("ambient time or chance")

    worlds = [history for history in map(draw, range(30)) if not history.recorded]
    for module, names in (
        (time, ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep")),
        (random, ("random", "randint", "choice", "shuffle", "uniform", "sample", "getrandbits")),
        (uuid, ("uuid1", "uuid4")),
        (os, ("urandom",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, forbidden)
    logging.disable()  # a record has the wall clock's time
    try:
        played = [play(history) for history in worlds]
    finally:
        logging.disable(logging.NOTSET)
    assert any(one.served["hit"] for one in played)


def pythons() -> list[Any]:
    """This Python, and the other supported ones found here."""
    found: list[Any] = [pytest.param(sys.executable, id="this")]
    given_ones = [each for each in os.environ.get("FORETELL_PYTHONS", "").split(os.pathsep) if each]
    for version in ("3.11", "3.12", "3.13"):
        if sys.version_info[:2] == tuple(map(int, version.split("."))):
            continue
        name = f"python{version}"
        path = next((each for each in given_ones if version in each), None) or shutil.which(name)
        found.append(pytest.param(path, id=name))
    return found


@pytest.mark.parametrize("python", pythons())
def test_hash_seeds_and_python_versions_give_the_same_trace(python: str | None) -> None:  # G9
    chosen = [str(seed) for seed in range(6)]
    if (
        python is None
        or subprocess.run(
            [python, "-c", "import foretell.testing"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("this Python is not here, or has no foretell installed")
    ran = subprocess.run(
        [python, str(Path(__file__).parent / "digests.py"), *chosen],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.split() == [play(draw(int(seed))).digest for seed in chosen]
