"""What happens in a simulated world: a list of steps that a seed draws and a test can hold."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

__all__ = ["History", "Step"]


class Step:
    """One thing that happens, ``wait`` seconds after the one before; see :class:`Table` for what.

    :param on: the number of the session it happens in.
    """

    __slots__ = ("do", "given", "on", "wait")

    def __init__(self, wait: float, do: str, *, on: int = 0, **given: Any) -> None:
        self.wait = wait
        self.do = do
        self.on = on
        self.given = given

    def __repr__(self) -> str:
        on = [f"on={self.on}"] if self.on else []
        given = [f"{name}={value!r}" for name, value in self.given.items()]
        return f"Step({', '.join([f'{self.wait:g}', repr(self.do), *on, *given])})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


@dataclass(frozen=True, slots=True)
class History:
    """A world: settings that differ from the default ones, and what happens in it, in order.

    :param models: decides what each model stream does.
    :param sessions: how many tables play in one game.
    :param drain: seconds that closing may take.
    :param narrator: the profile of the narrator who tells it; a scripted model, if there is none.
    :param guarded: whether the game has a guard, of whom not much good can be said.
    """

    steps: Sequence[Step]
    settings: Mapping[str, Any] = field(default_factory=dict)
    models: int = 0
    sessions: int = 1
    drain: float = 5.0
    narrator: str = ""
    guarded: bool = False

    @property
    def recorded(self) -> bool:
        """Whether its sessions are recorded: some step goes on from their logs."""
        return any(step.do in ("kill", "reopen", "record") for step in self.steps)

    @property
    def cached(self) -> bool:
        """Whether there is a shared cache: some step says how it does."""
        return any(step.do == "cache" for step in self.steps)

    def as_test(self, seed: int | None, guarantee: str) -> str:
        """A test that plays it."""
        given: list[tuple[str, Any]] = [
            (each.name, getattr(self, each.name))
            for each in fields(self)
            if each.name not in ("settings", "steps")
        ]
        plain = History(())
        lines = [f"{name}={value!r}," for name, value in given if value != getattr(plain, name)]
        if self.settings:
            settings = [f"    {name!r}: {value!r}," for name, value in self.settings.items()]
            lines = ["settings={", *settings, "},", *lines]
        lines += ["steps=[", *(f"    {step!r}," for step in self.steps), "],"]
        return (
            "from foretell.testing import History, Step, play\n\n\n"
            f"def test_seed_{seed}_keeps_{guarantee.lower()}() -> None:\n"
            "    play(\n        History(\n"
            + textwrap.indent("\n".join(lines), " " * 12)
            + "\n        )\n    )\n"
        )
