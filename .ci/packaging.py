"""Build the sdist and the wheel, and prove that the wheel is whole and works where nothing else is.

Leaves the wheel's content in ``build/wheel``, as a plain install of it would look.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"][
    "packages"
]
IN_SDIST = {
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "operators/_partial_core.c",
    "operators/_partial_text.h",
    "pyproject.toml",
    "py.typed",
    "setup.py",
    "tests/conftest.py",
}
NOT_IN_WHEEL = {".c", ".h", ".pyd", ".so"}  # the compiled core is for those who ask for it

IMPORT_ALL = """
import importlib, pathlib, pkgutil, sys
import foretell
assert pathlib.Path(foretell.__file__).is_relative_to(sys.prefix), foretell.__file__
names = [found.name for found in pkgutil.walk_packages(foretell.__path__, "foretell.")]
for name in names:
    importlib.import_module(name)
print(f"packaging: {len(names)} modules import")
"""


def run(*command: str | Path, cwd: Path = ROOT) -> None:
    subprocess.run(command, check=True, cwd=cwd)


def in_checkout() -> set[str]:
    """What the wheel must hold: the root's modules, and everything in the packages."""
    files = [*ROOT.glob("*.py"), ROOT / "py.typed"]
    for folder in {name.split(".")[1] for name in PACKAGES if "." in name}:
        files += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {
        f"foretell/{path.relative_to(ROOT).as_posix()}"
        for path in files
        if "__pycache__" not in path.parts
        and not path.name.startswith(".")
        and path.suffix not in NOT_IN_WHEEL
        and path != ROOT / "setup.py"
    }


def check_wheel(wheel: Path) -> None:
    if not wheel.name.endswith("-py3-none-any.whl"):
        sys.exit(f"packaging: the wheel is for one platform only: {wheel.name}")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        archive.extractall(BUILD / "wheel")
    expected = in_checkout()
    if missing := sorted(expected - names):
        sys.exit(f"packaging: missing in the wheel (packages or package-data): {missing}")
    if foreign := sorted(names - expected):
        sys.exit(f"packaging: should not be in the wheel: {foreign}")


def check_sdist(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    if missing := sorted(IN_SDIST - names):
        sys.exit(f"packaging: missing in the sdist: {missing}")
    if foreign := sorted(name for name in names if name.startswith((".venv", "build", "docs"))):
        sys.exit(f"packaging: should not be in the sdist: {foreign}")


def main() -> None:
    for leftover in BUILD.glob("[!_]*"):  # deleted modules would come back from build/lib
        shutil.rmtree(leftover)  # an editor's editable install, __editable__…, stays
    dist = BUILD / "dist"
    with_log = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", dist, ROOT],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if with_log.returncode:
        sys.exit(f"{with_log.stdout}\npackaging: the build failed")
    [wheel], [sdist] = dist.glob("*.whl"), dist.glob("*.tar.gz")
    check_sdist(sdist)
    check_wheel(wheel)

    clean = BUILD / "clean"
    run(sys.executable, "-m", "venv", clean)
    tools = clean / ("Scripts" if sys.platform == "win32" else "bin")
    pip = [tools / "python", "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    run(*pip, "--no-compile", wheel)
    run(tools / "python", "-I", "-W", "error", "-c", IMPORT_ALL, cwd=clean)
    shown = subprocess.run(
        [tools / "foretell", "--help"], cwd=clean, check=True, capture_output=True, text=True
    )
    if "usage: foretell" not in shown.stdout:
        sys.exit(f"packaging: foretell --help says: {shown.stdout!r}")
    run(tools / "python", "-I", "-m", "foretell", "--version", cwd=clean)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as failed:
        sys.exit(f"packaging: {failed}")
