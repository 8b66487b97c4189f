"""What a session's speculation was worth, learned from what its recording says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..streams import events as ev
from ..streams.footprint import targets_of
from ..streams.world import Declared, World
from .prefetch_gauge import Alert
from .prefetch_metrics import MOST, Metrics

__all__ = ["Speculated"]


class Speculated:
    """The metrics of a session: each speculation is a prefetch, each outcome a look-up.

    A speculation is used when its text is told; what was written of one that was not is wasted. It
    saves the time from its start to its first text, or to its use, if that came first; where the
    small model has written it, the time the main one takes, which would have been asked. Each
    possible result is a prefetch of its own, so of three that are prepared for an action one is
    used at best; a trunk with its tails is one, called by all of them, and used if any is told.
    Nothing of it goes into the recording.

    ``tell`` is told when a rate falls below its alert, and when that is over.
    """

    def __init__(self) -> None:
        self.tell: Callable[[Alert], None] = lambda alert: None
        self.metrics = Metrics(self._alert, label=lambda name: self._names.get(name, name))
        self._names: dict[str, str] = {}
        self._asked: dict[str, float] = {}
        self._silent: dict[str, float] = {}
        self._first: dict[str, float] = {}
        self._served: dict[str, None] = {}
        self._models: dict[str, str] = {}
        self._usual: dict[str, float] = {}  # seconds to the first text, by model
        self._outcomes: dict[int, tuple[str, bool]] = {}
        self.heard: dict[str, Callable[[float, Mapping[str, Any]], None]] = {
            "~generation": self._begun,
            "~asked": self._on_asked,
            "~chunk": self._on_chunk,
            "~account": self._ended,
            "~served": self._on_served,
            "~dropped": self._dropped,
            "~told": self._told,
        }
        """Who listens to which lines of the recording: their time in seconds, and their fields."""

    def on_world(self, world: World) -> None:
        """Remember what outcomes are called; with a turn, what was predicted before it is past."""
        if isinstance(world.cause, ev.Outcome):
            done = world.doing(world.cause)
            results = dict.fromkeys(each.result for each in world.cause.results)
            name = f"{_doing(done)}: {', '.join(results)}"
            self._outcomes[world.number] = name, self.metrics.predicted(name)
            if len(self._outcomes) > MOST:
                del self._outcomes[next(iter(self._outcomes))]
        elif isinstance(world.cause, (ev.Turn, ev.TurnEnd)):
            self.metrics.forget_predictions()

    def _alert(self, alert: Alert) -> None:
        self.tell(alert)

    def restore(self, t: float, kind: str, line: Mapping[str, Any]) -> None:
        """Take in a line of a recording, of whichever kind."""
        if kind in self.heard:
            self.heard[kind](t, line)

    def _begun(self, t: float, line: Mapping[str, Any]) -> None:
        self._models[line["generation"]] = str(line.get("model"))
        if len(self._models) > MOST:
            del self._models[next(iter(self._models))]
        if line["purpose"] != "prefetch":
            return
        called = []
        for target, result in line.get("endings") or [(line.get("target"), line["result"])]:
            whom = f" → {target}" if target else ""
            called.append(f"{line['actor']}: {line['action']}{whom}: {result}")
            self.metrics.predict(called[-1])
        self._names[line["generation"]] = " / ".join(called)
        if len(self._names) > MOST:
            oldest = next(iter(self._names))
            for known in (self._names, self._asked, self._silent, self._first, self._served):
                known.pop(oldest, None)

    def _on_asked(self, t: float, line: Mapping[str, Any]) -> None:
        if line["generation"] in self._names:
            self._asked[line["generation"]] = self._silent[line["generation"]] = t

    def _on_chunk(self, t: float, line: Mapping[str, Any]) -> None:
        name = line["generation"]
        if name in self._silent:
            self._first[name] = t - self._silent.pop(name)
            self._usual[self._models.get(name, "")] = self._first[name]

    def _on_served(self, t: float, line: Mapping[str, Any]) -> None:
        name = line["generation"]
        if name in self._names:
            self._served[name] = None
            ahead = t - self._asked.get(name, t)
            first = max(self._first.get(name, ahead), *self._usual.values(), 0.0)
            self.metrics.save(t, min(ahead, first))
            self.metrics.use(name, t)

    def _dropped(self, t: float, line: Mapping[str, Any]) -> None:
        self.metrics.unused(line["generation"], t)

    def _ended(self, t: float, line: Mapping[str, Any]) -> None:
        name = line["generation"]
        if name not in self._names:
            return
        self._silent.pop(name, None)
        tokens = line["input"] + line["output"]
        self.metrics.loaded(name, t, tokens, self._first.get(name, 0.0))
        if name in self._served:
            self.metrics.use(name, t)
        elif line["phase"] != "done":
            self.metrics.unused(name, t)

    def _told(self, t: float, line: Mapping[str, Any]) -> None:
        if line.get("retells") is not None:
            return
        for number, served in zip(line["outcomes"], line["served"], strict=True):
            if served in ("hit", "in_flight"):
                self.metrics.hit_rate.add(t, good=True)
            elif served != "superseded":
                name, late = self._outcomes.get(number, (f"outcome {number}", False))
                self.metrics.missed(name, t, late=late)


def _doing(done: Declared) -> str:
    targets = ", ".join(targets_of(done.action))
    action = done.action.get("name") or done.action.get("type")
    return f"{done.actor}: {action}" + (f" → {targets}" if targets else "")
