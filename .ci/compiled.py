"""Build the wheel with what can be compiled from the sdist that packaging.py made, and test it.

In an environment of its own, so that what is tested is what was built. Where there is no C compiler
it says so and is done; in CI, which installs one, that is an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
DEV = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]["dev"]
TESTS = [
    "test_partials*.py",
    "test_typed.py",
    "test_blocks.py",
    "test_sentences.py",
    "test_predictors.py",
]
IS_COMPILED = """
import pathlib, sys
import foretell
from foretell.operators import _partial_core, predict_markov
for each in (_partial_core, predict_markov):
    assert pathlib.Path(each.__file__).is_relative_to(sys.prefix), each.__file__
    assert each.__file__.endswith((".so", ".pyd")), each.__file__
assert foretell.PartialParser.core == "C"
assert [*map(tuple, foretell.PartialParser().feed('[1,'))] == [((), "set", []), ((0,), "set", 1)]
"""


def missing() -> str | None:
    """What there is not, of what it takes to compile."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if sys.platform != "win32" and not shutil.which(compiler):
        return f"no C compiler ({compiler})"
    header = Path(sysconfig.get_path("include")) / "Python.h"
    return None if header.exists() else f"no {header}"


def main() -> None:
    if (lack := missing()) is not None:
        if os.environ.get("CI") == "true":
            sys.exit(f"compiled: {lack}")
        print(f"compiled: {lack}: the compiled core is not tested")
        return
    [sdist] = (BUILD / "dist").glob("*.tar.gz")
    wheels, venv = BUILD / "compiled-dist", BUILD / "compiled"
    for leftover in (wheels, venv):
        shutil.rmtree(leftover, ignore_errors=True)
    run = subprocess.check_call
    pip = ["-m", "pip", "--disable-pip-version-check", "-qq"]
    compile_it = {**os.environ, "FORETELL_COMPILE": "1"}
    run([sys.executable, *pip, "wheel", "--no-deps", "-w", wheels, sdist], env=compile_it)
    [wheel] = wheels.glob("*.whl")
    if "none-any" in wheel.name:
        sys.exit(f"compiled: nothing was compiled: {wheel.name}")
    run([sys.executable, "-m", "venv", venv])
    python = venv / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    tools = [each for each in DEV if each.startswith(("hypothesis", "pytest"))]
    run([python, *pip, "install", wheel, *tools])
    run([python, "-I", "-W", "error", "-c", IS_COMPILED])
    files = sorted({path for name in TESTS for path in (ROOT / "tests").glob(name)})
    run([venv / python.parent.name / "pytest", "-q", "-p", "no:cacheprovider", *files], cwd=ROOT)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as failed:
        sys.exit(f"compiled: {failed}")
