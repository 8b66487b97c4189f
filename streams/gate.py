"""The gate to a model's server: who waits for a text comes first, at whatever table he sits."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import weakref
from typing import Any, Protocol

__all__ = ["Gate", "Member", "OpenGate", "Stream", "gate_to"]

FIRST, LONGEST = 1.0, 60.0
"""Seconds of the first pause after a server asked for patience, and of the longest: it doubles."""
MOST_DOUBLINGS = 6
PATIENT = 3600.0
"""Seconds; no server is believed to want more patience than this before it is asked once more."""

log = logging.getLogger("foretell")


class Stream(Protocol):
    """What the gate knows of a model stream."""

    @property
    def value(self) -> float:
        """What it is worth, on the scale of all sessions: a probability."""
        ...

    @property
    def running(self) -> bool:
        """Whether it is open, and nobody closes it."""
        ...

    @property
    def spare(self) -> bool:
        """Whether it is a running speculation, for which nobody has asked yet."""
        ...


class Member(Protocol):
    """The streams of one session."""

    most: int
    """Speculation is begun while the server has fewer streams open than this, of all sessions."""

    def wish(self) -> float | None:
        """The value of the speculation that it would begin next, if it had room for one."""
        ...

    def grant(self) -> None:
        """It may begin one more; it answers with :meth:`Gate.took` or :meth:`Gate.declined`."""
        ...

    def displace(self, stream: Any) -> None:
        """Close a speculation, for a player needs its place; or answer :meth:`Gate.kept`."""
        ...


class OpenGate:
    """A gate at which nobody has to wait, for one session by itself."""

    def admits(self, member: Member, stream: Stream) -> bool:
        """Whether a speculation may begin now; one that may not waits for :meth:`Member.grant`."""
        return True

    def begin(self, member: Member, stream: Stream) -> None:
        """A stream for which a player waits begins; it waits for nobody."""

    def end(self, stream: Stream) -> None:
        """Nothing runs of a stream any more: its place is free."""

    def answered(self, stream: Stream) -> None:
        """The server has begun to answer."""

    def refused(self, retry_after: float | None) -> None:
        """The server asks for patience (429, 529), for ``retry_after`` seconds, if it said."""

    def took(self, member: Member, stream: Stream) -> bool:
        """A speculation begins that was granted; false if it has to wait after all."""
        return True

    def declined(self, member: Member, *, waits: bool) -> None:
        """A grant is not used; ``waits``: the member wants another, later."""

    def kept(self, member: Member, stream: Stream) -> None:
        """A speculation that was to be displaced goes on, for somebody has asked for it."""

    def leave(self, member: Member) -> None:
        """A session is over: nothing of it is open, and nothing waits."""


class Gate(OpenGate):
    """Shares a server among all sessions of one loop: speculation takes what players leave.

    ::

        places (2)    [s1-----------]     closed
                      [s2-----------------------]
        waits               s3----------------------------->(granted)
        player                      [p--------------------]

    A speculation begins while fewer streams are open than its session allows for all of them. A
    stream that a player waits for begins at once; where that many are open already, the least
    valuable speculation of any session is closed for it. The most valuable that waits is let in
    first; of equal ones that of the session which has fewer open.

    When the server asks for patience, no speculation of any session begins for
    ``max(retry_after, 1 s * 2**k)``, k the pauses in a row before this one, at most 60 s unless it
    asks for more. Then one is tried: if it is answered, all go on, and if it is refused, the next
    pause begins. What is open stays open, and players are not paused.

    It changes nothing in a session by itself: :meth:`Member.grant` and :meth:`Member.displace` come
    from outside for the session, and leave a line in its recording. All calls are the loop's.

    :param model: what it stands before.
    """

    def __init__(self, model: Any = None) -> None:
        self.model = model  # held, so that its id is nobody else's
        self.loop = weakref.ref(asyncio.get_running_loop())
        self._streams: dict[Stream, Member] = {}  # until nothing runs of them
        self._leaving: dict[Stream, None] = {}  # to be displaced, as soon as their session is told
        self._waiting: dict[Member, None] = {}
        self._granted: dict[Member, None] = {}  # not taken yet
        self._refusals = 0
        self._until = -math.inf
        self._probe: Stream | Member | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        left = self._until - self._now()
        paused = f", speculation paused for {left:.3g} s" if left > 0 else ""
        return f"<Gate [{len(self._streams)} open, {len(self._waiting)} waiting{paused}]>"

    def admits(self, member: Member, stream: Stream) -> bool:
        """See :class:`OpenGate`."""
        if not (self._calm() and self._room(member)):
            self._waiting[member] = None
            self._arm()
            return False
        self._waiting.pop(member, None)
        self._streams[stream] = member
        if self._refusals:
            self._probe = stream
        return True

    def begin(self, member: Member, stream: Stream) -> None:
        """See :class:`OpenGate`; displaces a speculation where it needs the place of one."""
        self._streams[stream] = member
        open_now = [each for each in self._streams if each.running and each not in self._leaving]
        for _ in range(len(open_now) + len(self._granted) - member.most):
            self._displace()

    def _displace(self) -> None:
        best: Stream | None = None
        for each in self._streams:  # of equal ones the youngest, for it has cost least
            if each.spare and each not in self._leaving:
                best = each if best is None or each.value <= best.value else best
        if best is not None:
            self._leaving[best] = None
            self._streams[best].displace(best)

    def kept(self, member: Member, stream: Stream) -> None:
        """See :class:`OpenGate`; another has to go in its place."""
        if self._leaving.pop(stream, self) is None and stream.running:
            self._displace()

    def end(self, stream: Stream) -> None:
        """See :class:`OpenGate`."""
        self._leaving.pop(stream, None)
        if self._streams.pop(stream, None) is not None:
            if self._probe is stream:
                self._probe = None
            self._let_in()

    def answered(self, stream: Stream) -> None:
        """See :class:`OpenGate`."""
        if self._probe is stream:
            self._probe, self._refusals = None, 0
            self._let_in()

    def refused(self, retry_after: float | None) -> None:
        """See :class:`OpenGate`."""
        now = self._now()
        if now >= self._until:  # not those that were on their way when it began
            self._refusals += 1
        pause = min(LONGEST, FIRST * 2 ** min(self._refusals - 1, MOST_DOUBLINGS))
        if retry_after is not None and retry_after > pause:
            pause = min(retry_after, PATIENT)
        if now + pause > self._until:
            self._until = now + pause
            log.info("the model's server asks for patience: nothing is prepared for %g s", pause)
        self._probe = None
        self._arm()

    def took(self, member: Member, stream: Stream) -> bool:
        """See :class:`OpenGate`."""
        probes = self._probe is member
        if not (probes or self._calm()):  # the server asked for patience in this very moment
            self.declined(member, waits=True)
            return False
        self._granted.pop(member, None)
        self._streams[stream] = member
        if probes:
            self._probe = stream
        return True

    def declined(self, member: Member, *, waits: bool) -> None:
        """See :class:`OpenGate`."""
        self._granted.pop(member, None)
        if self._probe is member:
            self._probe = None
        if waits:
            self._waiting[member] = None
            self._arm()
        self._let_in()

    def leave(self, member: Member) -> None:
        """See :class:`OpenGate`."""
        self._waiting.pop(member, None)
        self._granted.pop(member, None)
        for stream in [each for each, of in self._streams.items() if of is member]:
            del self._streams[stream]
            self._leaving.pop(stream, None)
            if self._probe is stream:
                self._probe = None
        if self._probe is member:
            self._probe = None
        self._let_in()
        if not self._waiting and self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _now(self) -> float:
        loop = self.loop()
        return math.inf if loop is None else loop.time()

    def _calm(self) -> bool:
        """Whether the server has asked for no patience, or is due to be tried."""
        if not self._refusals:
            return True
        return self._probe is None and self._now() >= self._until

    def _room(self, member: Member) -> bool:
        return len(self._streams) + len(self._granted) < member.most

    def _let_in(self) -> None:
        while self._waiting and self._calm() and (member := self._next()) is not None:
            del self._waiting[member]
            self._granted[member] = None
            if self._refusals:
                self._probe = member
            member.grant()

    def _next(self) -> Member | None:
        """Who has the most valuable speculation to begin."""
        best: Member | None = None
        rank = (-math.inf, 0)
        for member in self._waiting:
            if self._room(member) and (value := member.wish()) is not None:
                mine = len([each for each in self._streams.values() if each is member])
                if best is None or (value, -mine) > rank:
                    best, rank = member, (value, -mine)
        return best

    def _arm(self) -> None:
        """See to it that somebody who waits is let in when the pause is over."""
        if self._waiting and self._until > self._now():
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = asyncio.get_running_loop().call_at(self._until, self._pause_over)

    def _pause_over(self) -> None:
        self._alarm = None
        self._let_in()
        self._arm()  # a timer may go off a moment too soon


_gates: weakref.WeakValueDictionary[tuple[int, Any], Gate] = weakref.WeakValueDictionary()
_making = threading.Lock()


def gate_to(model: Any) -> Gate:
    """The gate that all sessions of the running loop share which ask the same server.

    That is the same ``endpoint``, where the model has one (any value but ``None`` that can be a
    key), and else the same model. Hold it, for it is gone with its last holder. Loops share
    nothing, for what one of them does the other would have to wait for: each has a gate of its own.
    """
    loop = asyncio.get_running_loop()
    endpoint = getattr(model, "endpoint", None)
    key = (id(loop), id(model) if endpoint is None else endpoint)
    with _making:
        gate = _gates.get(key)
        if gate is None or gate.loop() is not loop:  # of one that is gone
            gate = _gates[key] = Gate(model)
    return gate
