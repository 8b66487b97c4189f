"""Which prompt a plan begins with: a longer one, while the answers to the shorter are no good."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from .settings import Plans
from .types import Ask, Tier

__all__ = ["Tiers"]

LONGEST = 6
"""Times that the wait for another try of the shorter prompt doubles, at most."""


@dataclass(slots=True)
class _Course:
    """What one model was found to do with a prompt."""

    tier: Tier
    lately: deque[tuple[int, int]]
    """Of the last answers: steps that could be done, and all."""
    answers: int = 0
    tried: dict[Tier, int] = field(default_factory=dict)
    """How often each was left for a longer one."""


class Tiers:
    """Begins with the prompt of the settings, and with the next longer where that is no good.

    ::

        steps that can be done   95 % 90 % 80 % | 97 % 99 % …      | 96 % …
        begins with              simplified     | full             | simplified, tried again

    It is left when of the steps of ``plans.window`` answers fewer than ``plans.longer_below`` could
    be done, and tried again after as many answers to the longer; after twice as many if it had been
    left before, and so on. With ``plans.ab`` the prompts named there take turns instead.
    """

    def __init__(self, settings: Plans) -> None:
        self._settings = settings
        self._courses: dict[str, _Course] = {}

    def begins(self, ask: Ask, model: str) -> Tier:
        """The prompt that is asked first."""
        by_turns = self._settings.ab
        if by_turns:
            return by_turns[int(ask.plan.removeprefix("p") or 0) % len(by_turns)]
        return self._course(model).tier

    def heard(self, model: str, tier: Tier, valid: int, dropped: int) -> None:
        """An answer has come: so many steps of it could be done, so many could not.

        One without any step counts as one that could not.
        """
        course, settings = self._course(model), self._settings
        if tier is not course.tier or settings.ab:
            return
        course.lately.append((valid, max(1, valid + dropped)))
        course.answers += 1
        if len(course.lately) < settings.window:
            return
        good, every = (sum(each) for each in zip(*course.lately, strict=True))  # ints
        longer = tier.longer
        if good < settings.longer_below * every and longer is not None:
            course.tried[tier] = course.tried.get(tier, 0) + 1
            self._move(course, longer)
        elif tier is not settings.tier and course.answers >= self._patience(course):
            shorter = tier.shorter
            assert shorter is not None  # it is longer than that of the settings
            self._move(course, shorter)

    def _patience(self, course: _Course) -> int:
        """Answers to the longer prompt until the shorter is tried again."""
        shorter = course.tier.shorter
        times = 0 if shorter is None else course.tried.get(shorter, 1) - 1
        return int(self._settings.window * 2 ** min(times, LONGEST))

    def _course(self, model: str) -> _Course:
        if model not in self._courses:
            lately: deque[tuple[int, int]] = deque(maxlen=self._settings.window)
            self._courses[model] = _Course(self._settings.tier, lately)
        return self._courses[model]

    @staticmethod
    def _move(course: _Course, tier: Tier) -> None:
        course.tier, course.answers = tier, 0
        course.lately.clear()
