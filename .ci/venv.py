"""Make a virtual environment with the checkout installed, or find that it already is one.

    python .ci/venv.py DIRECTORY EXTRA...

The install is editable, so what runs is the code of the checkout. A stamp in the environment says
what it was made from (interpreter, place, pyproject.toml); while that holds nothing is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
STAMP = "foretell-setup.json"


def wanted() -> dict[str, Any]:
    """What the environment must have been made from."""
    return {
        "root": str(ROOT),
        "python": [sys.base_prefix, *sys.version_info[:3]],
        "pyproject": hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest(),
    }


def read(stamp: Path) -> dict[str, Any]:
    try:
        found = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def python_in(venv: Path) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def set_up(venv: Path, extras: set[str]) -> None:
    stamp = venv / STAMP
    want, have = wanted(), read(stamp)
    kept = set(have.pop("extras", ()))
    if have == want and extras <= kept:
        return
    started = time.monotonic()
    print(f"foretell: setting up {venv.name} (once; about half a minute)", file=sys.stderr)
    stamp.unlink(missing_ok=True)
    if [have.get(k) for k in ("root", "python")] == [want["root"], want["python"]]:
        extras |= kept
    else:  # another interpreter, a folder that was moved, or none yet
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # setuptools would reuse it
    target = f"{ROOT}[{','.join(sorted(extras))}]" if extras else str(ROOT)
    pip = [python_in(venv), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    subprocess.run([*pip, "--no-compile", "--editable", target], check=True, cwd=ROOT)
    stamp.write_text(json.dumps({**want, "extras": sorted(extras)}), encoding="utf-8")
    print(f"foretell: done in {time.monotonic() - started:.0f} s", file=sys.stderr)


def main() -> int:
    if len(sys.argv) < 2:
        print("usage: python .ci/venv.py DIRECTORY [EXTRA...]", file=sys.stderr)
        return 2
    if sys.version_info < (3, 11):  # noqa: UP036  # an older one must be told, not crash
        print("foretell: error: Python 3.11 or newer is needed", file=sys.stderr)
        return 1
    try:
        set_up(ROOT / sys.argv[1], set(sys.argv[2:]))
    except subprocess.CalledProcessError as failed:
        what = "installing" if "pip" in failed.cmd else "making the virtual environment"
        print(f"foretell: error: {what} failed; its own words are above", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
