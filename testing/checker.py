"""The guarantees, judged from outside: from what a game said and what its viewers were shown."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ..operators.narrative import Ended, Narrative, Patched, Started
from ..session import Session
from ..streams.events import Delivered, Rewind
from ..streams.world import Numbered
from .bills import Bills
from .changes import Changes
from .evidence import EPSILON, Evidence
from .judge_streams import Streams
from .judge_tellings import Tellings
from .shown import Shown
from .watch import WatchedModel

__all__ = ["Guarantees", "guarantees"]


class Guarantees:
    """Watches one session and holds it to the guarantees; made by :func:`guarantees`.

    :meth:`check` may be called at any moment at which all that is due has happened
    (``await instant()``), :meth:`finish` after the session has been closed. Both raise
    :class:`Broken` for the first thing that was found.

    What is told is judged word by word where prompts and answers are stamped (see
    :func:`stamped_prompts`); all else holds for any prompts and models.

    :param viewers: those whose view is followed, beside the view of everybody.
    """

    def __init__(self, session: Session[Any], viewers: Iterable[str] = ()) -> None:
        self.known = Evidence(session, Changes(session.settings.volatile))
        self.views = {viewer: Shown(self.known.broke) for viewer in viewers}
        self._late: list[tuple[Shown, set[str]]] = []
        self._tellings = Tellings(self.known)
        self._streams = Streams(self.known)
        self._dirty = False
        self._subscriptions: list[Any] = []
        self._follow(session)

    def _follow(self, session: Session[Any]) -> None:
        self.known.session, self.known.offset = session, None
        pipeline = session._pipeline
        generations = pipeline.generations
        generations._model = WatchedModel(generations._model, self._streams.opened)
        self._subscriptions = [
            pipeline.inputs.subscribe(self._on_input),
            session.subscribe(self._on_event),
            *(
                session.subscribe(self._viewing(shown, viewer), viewer)
                for viewer, shown in self.views.items()
            ),
        ]

    @property
    def bills(self) -> Bills:
        """What its streams have cost."""
        return self._streams.bills

    def leave(self) -> None:
        """Watch no longer."""
        for subscription in self._subscriptions:
            subscription.dispose()
        self._subscriptions.clear()

    def join(self) -> None:
        """A viewer comes late, and must see what all see."""
        late = Shown(self.known.broke)
        told = self.known.shown.tellings.values()
        self._late.append((late, {each.id for each in told if each.ended_at is not None}))
        self._subscriptions.append(self.known.session.subscribe(self._viewing(late, None)))

    # ── what only the game knows ──────────────────────────────────────────────────────────────

    def expect(self, number: int, hps: Sequence[Any] | None, telling: Any = None) -> None:
        """The health of its targets after outcome ``number``, where the game knows it.

        :param telling: its handle, which must come to the same end as the telling itself.
        """
        if hps is not None:
            self.known.hps[number] = list(hps)
        if telling is not None:
            self.known.handles[number] = telling

    def refused(self, name: str) -> None:
        """The session would not tell an action again."""
        known, of = self.known, self.known.changes.standing.outcome(name)
        if of is not None and known.keeps_all:
            known.broke("G2", f"{name} is not told again, though outcome {of} stands")

    def cancelled(self) -> None:
        """The game has cancelled what is being told: any of it may be ended early."""
        for happening in self.known.under_way.values():
            happening.cancelled = True

    def slept(self, fell: float, woke: float) -> None:
        """The whole process stood still between these times of the loop."""
        self.known.asleep.append((fell, woke))

    def resume(self, session: Session[Any], lost: Mapping[str, Any]) -> None:
        """The process was killed, and the session goes on from its log.

        :param lost: the last line of the log, if it was cut off: nobody can know it any more.
        """
        known = self.known
        known.closing = False
        self._tellings.forget()
        self._streams.resume(session, lost)
        self._late.clear()
        for told in known.shown.tellings.values():
            told.ended_at = known.now() if told.ended_at is None else told.ended_at
        known.again.clear()
        kind = lost.get("kind", "~")
        if not kind.startswith("~") and known.taken:
            gone = known.taken.pop()
            known.happenings.pop(gone.number, None)
            known.changes = Changes(session.settings.volatile)
            for number, event, _ in known.taken:
                known.changes.take(number, event, known.now())
        for shown in (known.shown, *self.views.values()):
            if kind == "~text" and (half := shown.tellings.get(lost["telling"])) is not None:
                half.text = half.text.removesuffix(lost["text"])
            elif kind == "~telling":
                shown.tellings.pop(lost["telling"], None)
            elif kind == "~told" and (half := shown.tellings.get(lost["telling"])) is not None:
                half.end = None
            for told in shown.tellings.values():
                told.upto.clear()
        for _, event, _ in known.taken:
            if isinstance(event, Delivered):
                self._delivered(event)
        self._dirty = True
        self._follow(session)
        world, changes = session.world, known.changes
        if world.number != changes.number:
            had = f"{world.number} inputs, and its log holds {changes.number}"
            known.broke("G9", f"resumed with {had}")
        elif changes.state is not None and world.state != changes.state:
            known.broke("G9", "resumed with another state than its log's")

    # ── what it hears ─────────────────────────────────────────────────────────────────────────

    def _on_input(self, numbered: Numbered) -> None:
        known, (number, event, _) = self.known, numbered
        known.taken.append(numbered)
        known.offset = known.now() - event.t
        if isinstance(event, Delivered):
            self._delivered(event)
        if isinstance(event, Rewind):
            known.memory_moves()
        happening = known.changes.take(number, event, known.now())
        if happening is not None:
            known.happenings[number] = known.under_way[number] = happening
            if happening.again:
                first = known.happenings[known.told_with(happening.again)[1][0]]
                happening.to = first.to
            elif happening.again is not None:
                happening.cancelled = True
        if isinstance(event, Rewind):
            known.rewinds.append(known.now())
            self._dirty = True
            self._as_it_was()
        self._streams.took(number, happening)

    def _as_it_was(self) -> None:
        """After a rewind: the world is what the inputs that stand have made of it."""
        world, changes = self.known.session.world, self.known.changes
        turn = world.turn.turn if world.turn is not None else None
        if world.warning is not None:
            self.known.broke("G9", world.warning)
        elif changes.sure and world.state != changes.state:
            self.known.broke("G9", "gone back to another state than there was")
        elif changes.sure and (turn, set(world.actions)) != (changes.turn, set(changes.doing)):
            self.known.broke("G9", "gone back to another turn, or other actions, than there were")

    def _delivered(self, event: Delivered) -> None:
        self._dirty = True
        for shown in (self.known.shown, *self.views.values()):
            if (told := shown.tellings.get(event.telling)) is not None:
                told.delivered(event.viewer, event.upto)

    def _on_event(self, event: Narrative) -> None:
        known, self._dirty = self.known, True
        known.events.append(event)
        by_loop = known.now() - (known.offset or 0.0)
        if known.offset is not None and abs(event.t - by_loop) > EPSILON:
            what = f"{type(event).__name__} of {event.telling}"
            known.broke("G8", f"{what} came at {by_loop:g} s, and says it was at {event.t:g}")
        if isinstance(event, Ended) and event.retells is not None:
            known.memory_moves()
        told = known.shown.take(event)
        if isinstance(event, Started):
            told.began = known.now()
            self._tellings.started(event)
        elif isinstance(event, Patched) and event.text and told.first is None:
            told.first = known.now(), known.changes.number
            self._tellings.heard(told)
        elif isinstance(event, Ended):
            told.ended_at = known.now()
            self._tellings.ended(event, told)

    def _viewing(self, shown: Shown, viewer: str | None) -> Callable[[Narrative], None]:
        def on_event(event: Narrative) -> None:
            if viewer is not None and event.to and viewer not in event.to:
                what = f"{viewer} was shown {event.telling}, which is for {event.to}"
                self.known.broke("G7", what)
            shown.take(event)

        return on_event

    # ── what must hold ────────────────────────────────────────────────────────────────────────

    def check(self) -> None:
        """Hold what happened so far to the guarantees, once all that is due has happened.

        :raises Broken: for the first thing found.
        """
        self._tellings.check()
        self._streams.check()
        if self._dirty:
            self._dirty = False
            self._transcript()
            self._all_see_the_same()
        if self.known.found is not None:
            raise self.known.found

    def finish(self) -> None:
        """The session has been closed: nothing may be left of it.

        :raises Broken: for the first thing found.
        """
        self.known.closing = self._dirty = True
        self.check()
        self._tellings.finish()
        self._streams.finish()
        report = self.known.session.report()
        for name in ("stale", "untrue"):
            if report[name]:
                self.known.broke("G1", f"the session's own audit counts {report[name]} {name}")
        self.check()

    def _transcript(self) -> None:
        known, stands = self.known, self.known.changes.standing.stands
        for each in known.session.transcript.tellings():
            if each.undone == all(map(stands, each.outcomes)):
                marked = "is marked undone" if each.undone else "is not marked undone"
                known.broke("G7", f"{each.telling}, {each.outcomes}, {marked} in the transcript")
        for viewer in (None, *self.views):
            seen, kept = known.shown.text(viewer), known.session.transcript.text(viewer)
            if kept != seen:
                what = f"the transcript of {viewer or 'all'} has {_differ(kept, seen)}"
                known.broke("G7", what)
            view = self.views[viewer].text(viewer) if viewer is not None else seen
            if view != seen:
                known.broke("G10", f"{viewer} was shown {_differ(view, seen)}")

    def _all_see_the_same(self) -> None:
        for late, before in self._late:
            for there in self.known.shown.tellings.values():
                told = late.tellings.get(there.id)
                same = told is not None and (told.text, told.end) == (there.text, there.end)
                if not same and there.id not in before:
                    what = f"of {there.id} a late viewer has another view than the first"
                    self.known.broke("G10", what)


def _differ(one: str, other: str) -> str:
    pairs = enumerate(zip(one, other, strict=False))
    at = next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))
    around = slice(max(0, at - 20), at + 40)
    return f"…{one[around]!r} where viewers saw …{other[around]!r}"


@contextmanager
def guarantees(
    session: Session[Any], viewers: Iterable[str] = ()
) -> Generator[Guarantees, None, None]:
    """Hold a session to the guarantees while a test plays it.

    ::

        session = await game.session("test")
        with guarantees(session) as held:
            ...                 # play; held.check() wherever you like
            await session.close()

    At the end of the block the last check is made; if the session has been closed in it, also
    that nothing of it is left.

    :param viewers: viewers whose view is compared with the transcript.
    :raises Broken: for the first guarantee that did not hold, and what broke it.
    """
    held = Guarantees(session, viewers)
    try:
        yield held
        if session._entry.closed:
            held.finish()
        else:
            held.check()
    finally:
        held.leave()
