"""What is wanted of content: what the scene needs, and what the game has asked for of late."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..streams.content import NOTHING, Ask
from .classify import Scene
from .preload import Preload, Wanted, is_of, preloads_of
from .publish import Fault
from .schedule_items import Item

__all__ = ["Wants"]

MOST_ASKED = 1024
MOST_NEEDED = 16
"""So much of what the game has asked for of late prompts may have."""


class Wants:
    """What is wanted now, by key.

    ::

        scenes     --combat(mira, sea hag)-----------------exploration--
        needed     ------------------lore:debts------------------------
        wanted       spell_list:mira stat_block:sea hag    lore:old mill
                                     lore:debts

    :param preloads: say what a scene needs.
    :param fault: told of a preload that raises.
    """

    def __init__(self, preloads: Sequence[Preload], fault: Fault) -> None:
        self.scene: Scene | None = None
        self.now: dict[str, Wanted] = {}
        self.asks: dict[str, Ask] = {}
        """What to ask a source for; of the latest that were wanted."""
        self._preloads = preloads
        self._fault = fault
        self._needed: dict[str, Wanted] = {}
        self._marks: dict[str, str] = {}
        self._instead: dict[str, str] = {}
        self._changes: dict[str, int] = {}

    def on_scene(
        self, scene: Scene, kept: Collection[str], known: Mapping[str, Any] = NOTHING
    ) -> list[str]:
        """Want what this scene needs, and nothing of the one before it.

        :param kept: keys that may be wanted again.
        :param known: the content there is, by key: some may need more.
        :return: the keys that are another content now, for their mark is another.
        """
        if self.scene is not None and self.scene.context is not scene.context:
            self._needed.clear()
        self.scene = scene
        self.now = self._needed | preloads_of(scene, self._preloads, self._fault, known)
        other = []
        for key, wanted in self.now.items():
            self.asks[key] = wanted.ask
            if wanted.instead is not None:
                self.asks.setdefault(wanted.instead.key, wanted.instead)
                self._instead[key] = wanted.instead.key
            if self._marks.setdefault(key, wanted.mark) != wanted.mark:
                self._marks[key] = wanted.mark
                other.append(key)
        if len(self.asks) > MOST_ASKED:
            instead = {each.item.alternative for each in self.now.values()}
            spare = {*self.asks}.difference(self.now, kept, instead)
            for key in [key for key in self.asks if key in spare]:
                del self.asks[key]
                self._marks.pop(key, None)
                self._instead.pop(key, None)
        return other

    def named(self, key: str) -> str:
        """The key of what is wanted that a key of one name means; itself, if there is none."""
        return next((each for each in self.now if is_of(each, key)), key)

    def leads_to(self, key: str) -> Iterable[str]:
        """A key, and what is asked for in its place if its source fails, and in the place of that.

        What is not wanted any more counts as when it was: what there is of it may have come so.
        """
        keys: dict[str, None] = {}
        other: str | None = key
        while other is not None and other not in keys:  # of several scenes they may go in a circle
            keys[other] = None
            other = self._instead.get(other)
        return keys

    def need(self, key: str, kind: str, name: str) -> Item:
        """Want what the game asks for, until the context is another."""
        if key not in self.now:
            ask = self.asks[key] = Ask(kind, (name,), key=key)
            self.now[key] = Wanted(Item(key, kind), ask, "", (None,), name)
            self._needed[key] = self.now[key]
            if len(self._needed) > MOST_NEEDED:
                gone = self._needed.pop(next(iter(self._needed)))
                if self.now.get(gone.item.key) is gone:  # and not the scene's own
                    del self.now[gone.item.key]
        return self.now[key].item

    def of(self, actors: Collection[str | None]) -> Iterator[tuple[str, Wanted, list[str | None]]]:
        """What is about these actors, or the scene, with whom of them each is about."""
        for key, wanted in self.now.items():
            about = [each for each in wanted.of if each is None or each in actors]
            if about:
                yield key, wanted, about

    def changed(self, keys: Iterable[str]) -> None:
        """These are another content now."""
        changed = {*keys}
        self._changes = {
            key: self._changes.get(key, 0) + (key in changed) for key in self.now
        }  # of what is wanted now alone: whatever is wanted later is prepared for then

    def revision(self, actors: Collection[str | None]) -> tuple[tuple[str, int], ...]:
        """Which content a prompt about these actors may have, and how often it has changed."""
        return tuple(sorted((key, self._changes.get(key, 0)) for key, _, _ in self.of(actors)))
