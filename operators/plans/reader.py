"""Steps read out of a model's answer while it comes, each as its object closes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ...streams.parts import timed
from ..partials import MISSING, PartialParser, Patch, Path

__all__ = ["StepReader"]

AFTER_BRACKET = re.compile(r"(?<=[}\]])")
LISTS: tuple[Path, ...] = ((), ("steps",), ("plan",), ("plan", "steps"), ("plans", 0, "steps"))
"""Where the steps of a plan stand."""
OURS = ("steps", "plan", "plans")


class StepReader:
    """Reads the steps of one plan.

    ::

        feed    {"steps":[{"do":"Move   To","x":1}   ,{"do":"Wait"}   ]}  |
        gives                           MoveTo        Wait

    The plan is an object with ``steps``, or a list of steps, wherever in the text it stands: an
    object before it that is none (``{"note": 1}``) is passed over. In whatever pieces a text comes,
    its steps are the same, and what is cut off has those that were complete. It raises nothing.
    """

    def __init__(self) -> None:
        self._parser = PartialParser()
        self._found = False
        self._over = False

    @timed("parse")
    def feed(self, text: str) -> list[Any]:
        """The steps that a piece of the text completes, as they were written."""
        steps: list[Any] = []
        for piece in AFTER_BRACKET.split(text):
            if self._over:
                break
            steps += self._taken(self._parser.feed(piece))
            self._look()
        return steps

    def finish(self) -> list[Any]:
        """The steps that are found only now that no more comes; what is not closed is none."""
        if self._over:
            return []
        self._over = True
        return self._taken(self._parser.finish().patches)

    def _taken(self, patches: Iterable[Patch]) -> list[Any]:
        closed = [patch.path for patch in patches if patch.op == "done" and _is_step(patch.path)]
        steps = [_at(self._parser.value, path) for path in closed]
        steps = [step for step in steps if isinstance(step, dict)]
        self._found = self._found or bool(steps)
        return steps

    def _look(self) -> None:
        """Whether a value is complete: the plan, or one that stands before it."""
        if not self._parser.done() or self._parser.doubtful:
            return
        value = self._parser.value
        if self._found or (isinstance(value, dict) and any(name in value for name in OURS)):
            self._over = True
        else:
            self._parser = PartialParser()


def _is_step(path: Path) -> bool:
    return bool(path) and isinstance(path[-1], int) and path[:-1] in LISTS


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value if value is not MISSING else None
