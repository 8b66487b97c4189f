"""What pyproject.toml cannot say: ``FORETELL_COMPILE=1`` builds the compiled core."""

from __future__ import annotations

import os

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

CORE = Extension(
    "foretell.operators._partial_core",
    ["operators/_partial_core.c"],
    depends=["operators/_partial_text.h"],
)
WANTED = os.environ.get("FORETELL_COMPILE", "") not in {"", "0"}


class Modules(build_py):
    """All but this one, which lies in the root and so would be packaged with it."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """Package, name and file of each."""
        found = super().find_package_modules(package, package_dir)
        return [each for each in found if each[:2] != ("foretell", "setup")]


setup(cmdclass={"build_py": Modules}, ext_modules=[CORE] if WANTED else [])
