"""What pyproject.toml cannot say: ``FORETELL_COMPILE=1`` builds what can be compiled.

That is the core of the parser, in C, and the predictors, which mypyc makes of the same Python.
"""

from __future__ import annotations

import os
import shutil
import sys

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

CORE = Extension(
    "foretell.operators._partial_core",
    ["operators/_partial_core.c"],
    depends=["operators/_partial_text.h"],
)
PREDICTORS = (
    *("chains", "follows", "halves", "novelty", "numbers", "predict_document", "predict_ensemble"),
    *("predict_hour", "predict_markov", "predict_recency", "seen", "tally"),
)
KNOWN = ("__init__", "hours", "predictors")
"""What those import, and is not compiled."""

MYPY = "mypy>=2.4,<3"
WANTED = os.environ.get("FORETELL_COMPILE", "") not in {"", "0"}


class Modules(build_py):
    """All but this one, which lies in the root and so would be packaged with it."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """Package, name and file of each."""
        found = super().find_package_modules(package, package_dir)
        return [each for each in found if each[:2] != ("foretell", "setup")]


class Extensions(build_ext):
    """The core, and the predictors; those are made when something is built, and for no metadata."""

    def run(self) -> None:
        """See ``build_ext``."""
        if WANTED:
            self.distribution.ext_modules = [CORE, *predictors()]
            self.swig_opts = None  # is split, and so must not have been yet
            self.finalize_options()
        super().run()


def predictors() -> list[Extension]:
    """The predictors, compiled.

    mypyc names modules by their folders, and this one may have any name: so it reads copies.
    """
    from mypyc.build import mypycify

    package = os.path.join("build", "predictors", "foretell")
    shutil.rmtree(package, ignore_errors=True)
    os.makedirs(os.path.join(package, "operators"))
    with open(os.path.join(package, "__init__.py"), "w", encoding="utf-8"):
        pass  # a package, and nothing to import
    for name in (*PREDICTORS, *KNOWN):
        path = os.path.join("operators", f"{name}.py")
        shutil.copyfile(path, os.path.join(package, path))
    sources = [os.path.join(package, "operators", f"{name}.py") for name in PREDICTORS]
    found: list[Extension] = mypycify(
        ["--strict", "--no-namespace-packages", *sources],
        group_name="foretell_predictors",
        target_dir="build/predictors",
    )
    if sys.platform != "win32":
        for each in found:  # what is compiled must say the same to the last digit
            each.extra_compile_args.append("-ffp-contract=off")
    return found


setup(
    cmdclass={"build_py": Modules, "build_ext": Extensions},
    ext_modules=[CORE] if WANTED else [],
    setup_requires=[MYPY] if WANTED else [],
)
