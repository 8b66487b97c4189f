"""A guarantee that did not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .history import History

__all__ = ["Broken"]


class Broken(AssertionError):
    """A guarantee was broken: which one, by what, and when (seconds of the loop).

    From :func:`simulate` it also has the ``seed``, and the shrunk ``history`` that still breaks
    it; its text is then a test that can be pasted.
    """

    def __init__(
        self,
        guarantee: str,
        what: str,
        *,
        at: float = 0.0,
        seed: int | None = None,
        history: History | None = None,
    ) -> None:
        super().__init__(guarantee, what)
        self.guarantee = guarantee
        self.what = what
        self.at = at
        self.seed = seed
        self.history = history

    def __str__(self) -> str:
        said = f"{self.guarantee} is broken at {self.at:.3f} s: {self.what}"
        if self.history is None:
            return said
        return f"seed {self.seed}: {said}\n\n{self.history.as_test(self.seed, self.guarantee)}"
