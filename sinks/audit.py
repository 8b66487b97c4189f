"""A second opinion on every text that is served: was it still true?"""

from __future__ import annotations

import re
from typing import Any

from ..operators.fingerprint import only_leaves

__all__ = ["Audit"]

OPEN_SLOT = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]{0,31}\}")
KEPT = 10_000


class Audit:
    """Counts texts that should never have reached a viewer; both counts must stay 0.

    It knows nothing of fingerprints, leases or the store, only the changes as they came.

    ``stale``: something the text depends on changed unexpectedly between the opening of its
    generation and the moment it was bound to its telling: its first delivery, or its opening where
    the world has taken back three streams for the same outcome. ``untrue``: a variant made for
    another result than the one that happened, one that leaves a fallen target standing or fells a
    standing one, or text with a slot still open.
    """

    def __init__(self) -> None:
        self.stale = 0
        self.untrue = 0
        self._gone: dict[str, None] = {}  # actors the state has no more
        self._changed: dict[Any, int] = {}  # the revision of each change's last time
        self.revision = 0

    def on_world(self, world: Any) -> None:
        """Note what an input changed unexpectedly."""
        self.revision = world.revision
        if not world.fresh:
            return
        for change in world.fresh:
            if not only_leaves(world, change):  # what has happened may be told all the same
                self._changed[change] = world.revision
            path = change[0]
            if not path:
                self._gone.clear()
            elif len(path) == 2 and path[0] == "actors":
                self._gone.pop(path[1], None)
                if path[1] not in world.actors:
                    self._gone[path[1]] = None
        for known in (self._changed, self._gone):
            while len(known) > KEPT:
                del known[next(iter(known))]

    def on_bind(self, generation: Any) -> None:
        """The telling a generation is part of reaches a viewer for the first time."""
        since = [
            change for change, revision in self._changed.items() if revision > generation.revision
        ]
        if any(depends.on(change) for depends in generation.depends for change in since):
            self.stale += 1

    def on_serve(
        self, made_for: str, result: str, target_hp: Any, target: str | None = None
    ) -> None:
        """A variant made for one result is served for another (or, one hopes, the same)."""
        falls = target in self._gone or (isinstance(target_hp, (int, float)) and target_hp <= 0)
        if made_for == "kill":
            wrong = not falls and result != "kill"
        else:
            wrong = made_for != result or falls
        self.untrue += wrong

    def on_text(self, text: str) -> None:
        """The whole text of a telling."""
        self.untrue += OPEN_SLOT.search(text) is not None
