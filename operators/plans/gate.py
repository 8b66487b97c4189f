"""Whether a newer scene ends the plan under way, or only moves on with it."""

from __future__ import annotations

from collections.abc import Iterable

from .registry import Registry
from .sight import Sight, band
from .types import Step

__all__ = ["outdates", "touched"]

Mark = tuple[str, ...]


def touched(registry: Registry, steps: Iterable[Step]) -> frozenset[Mark]:
    """What steps may have changed, as their effects say: oneself by field, others as a whole."""
    found: dict[Mark, None] = {}
    for step in steps:
        tool = registry[step.tool]
        target = None if tool.target is None else str(step.args[tool.target[0]])
        for effect in tool.effects:
            found[effect.at(target)[:2]] = None
    return frozenset(found)


def outdates(
    before: Sight, now: Sight, footprint: frozenset[Mark], targets: Iterable[str]
) -> str | None:
    """What has changed that a plan cannot know of, in a few words; ``None`` if nothing has.

    That is: somebody is there who was not, or is gone or down; one's own health is another, or that
    of somebody the plan is still about; or a word of the scene itself is. What the plan's own steps
    may have changed is no news, and that somebody walks is none either: by the next step that was
    handed out all is checked again.

    :param footprint: see :func:`touched`.
    :param targets: of the steps that were not handed out yet.
    """
    if ("me", "hp") not in footprint and band(before.me) != band(now.me):
        return "its own health"
    up_before, up_now = _standing(before), _standing(now)
    for name in (*up_before, *up_now):
        if (name in up_before) != (name in up_now) and ("others", name) not in footprint:
            return f"{name} is {'there' if name in up_now else 'gone'}"
    for name in targets:
        both = name in before.others and name in now.others and ("others", name) not in footprint
        if both and band(before.others[name]) != band(now.others[name]):
            return f"the health of {name}"
    words_before, words_now = _words(before), _words(now)
    if words_before != words_now:
        return "the scene"
    return None


def _standing(sight: Sight) -> dict[str, None]:
    return {name: None for name, one in sight.others.items() if band(one) != "down"}


def _words(sight: Sight) -> dict[str, str]:
    """What the snapshot says of the scene in words: its mode, its place."""
    return {name: value for name, value in sight.state.items() if isinstance(value, str)}
