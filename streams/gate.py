"""The gate to a model's server: who waits for a text comes first, at whatever table he sits."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import weakref
from typing import Any, Protocol

from .breaker import Circuit, breaker_of
from .models import (
    ModelCut,
    ModelError,
    ModelOverloaded,
    ModelProtocolError,
    ModelShut,
    ModelUnavailable,
)

__all__ = ["Gate", "Member", "OpenGate", "Stream", "gate_to"]

RECHECK = 1.0
"""Seconds; so often it is looked whether another loop is done trying the server."""
FAILURES = (ModelOverloaded, ModelUnavailable, ModelProtocolError, ModelCut)
"""What is the server's fault; a refusal or a bad key says that it is there."""

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

    @property
    def tells(self) -> bool:
        """Whether somebody waits for it: it is no speculation, or is one no longer."""
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

    def failed(self, stream: Stream, error: ModelError) -> None:
        """The server has not answered."""

    def bars(self, stream: Stream) -> ModelError | None:
        """Why a request that can do without an answer is not to be sent now, if it is not."""
        return None

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

    What becomes of the streams is told to the server's :class:`~foretell.streams.breaker.Breaker`,
    which all loops share: while the server asks for patience no speculation of any session begins,
    and after failures in a row no plan either. What is open stays open, and players are not paused.

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
        self.breaker = breaker_of(model, asyncio.get_running_loop())
        self._since: dict[Stream, int] = {}  # failures in a row when it began
        self._alarm: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        now = self._now()
        left = self.breaker.until(patient=True) - now
        paused = f", speculation paused for {left:.3g} s" if left > 0 else ""
        shut = "" if self.circuit is Circuit.CLOSED else f", circuit {self.circuit}"
        return f"<Gate [{len(self._streams)} open, {len(self._waiting)} waiting{paused}{shut}]>"

    @property
    def circuit(self) -> Circuit:
        """Whether the server is asked for plans now."""
        return self.breaker.circuit(self._now())

    def admits(self, member: Member, stream: Stream) -> bool:
        """See :class:`OpenGate`."""
        if not (self._room(member) and self.breaker.lets(self._now(), stream, patient=True)):
            self._waiting[member] = None
            self._arm()
            return False
        self._waiting.pop(member, None)
        self._opened(member, stream)
        return True

    def _opened(self, member: Member, stream: Stream) -> None:
        self._streams[stream] = member
        self._since[stream] = self.breaker.failures

    def begin(self, member: Member, stream: Stream) -> None:
        """See :class:`OpenGate`; displaces a speculation where it needs the place of one."""
        self._opened(member, stream)
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
            del self._since[stream]
            self.breaker.give_back(stream)
            self._let_in()

    def answered(self, stream: Stream) -> None:
        """See :class:`OpenGate`."""
        breaker = self.breaker
        if breaker.failures or breaker.probe is stream:
            breaker.answered(stream)
            self._let_in()

    def failed(self, stream: Stream, error: ModelError) -> None:
        """See :class:`OpenGate`.

        It is no further failure if it was on its way when the one before was counted; nor if the
        server asks speculation for patience, for that is paused by itself.
        """
        if not isinstance(error, FAILURES) or isinstance(error, ModelShut):
            return
        now, breaker = self._now(), self.breaker
        tried, anew = breaker.probe is stream, self._since.get(stream) == breaker.failures
        if (tried or anew) and (stream.tells or not isinstance(error, ModelOverloaded)):
            before = breaker.circuit(now)
            breaker.failed(now, stream)
            if before is not breaker.circuit(now) is Circuit.OPEN:
                log.warning("the model's server failed %d times in a row", breaker.failures)
        if isinstance(error, ModelOverloaded):
            pause = breaker.refused(now, error.retry_after)
            if pause is not None:
                asks = "the model's server asks for patience: nothing is prepared for %g s"
                log.info(asks, pause)
        self._arm()

    def bars(self, stream: Stream) -> ModelError | None:
        """See :class:`OpenGate`."""
        now = self._now()
        if self.breaker.lets(now, stream, patient=False):
            return None
        left = max(0.0, self.breaker.until(patient=False) - now)
        when = f"in {left:.3g} s" if left else "just now"
        return ModelShut(
            f"the server has failed {self.breaker.failures} times in a row; it is tried {when}"
        )

    def took(self, member: Member, stream: Stream) -> bool:
        """See :class:`OpenGate`."""
        probes = self.breaker.probe is member
        if not (probes or self.breaker.lets(self._now(), stream, patient=True)):
            # The server asked for patience in this very moment.
            self.declined(member, waits=True)
            return False
        self._granted.pop(member, None)
        self._opened(member, stream)
        if probes:
            self.breaker.hand_on(member, stream)
        return True

    def declined(self, member: Member, *, waits: bool) -> None:
        """See :class:`OpenGate`."""
        self._granted.pop(member, None)
        self.breaker.give_back(member)
        if waits:
            self._waiting[member] = None
            self._arm()
        self._let_in()

    def leave(self, member: Member) -> None:
        """See :class:`OpenGate`."""
        self._waiting.pop(member, None)
        self._granted.pop(member, None)
        for stream in [each for each, of in self._streams.items() if of is member]:
            del self._streams[stream], self._since[stream]
            self._leaving.pop(stream, None)
            self.breaker.give_back(stream)
        self.breaker.give_back(member)
        self._let_in()
        if not self._waiting and self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _now(self) -> float:
        loop = self.loop()
        return math.inf if loop is None else loop.time()

    def _room(self, member: Member) -> bool:
        return len(self._streams) + len(self._granted) < member.most

    def _let_in(self) -> None:
        while self._waiting and self.breaker.ready(self._now(), patient=True):
            member = self._next()
            if member is None or not self.breaker.lets(self._now(), member, patient=True):
                break
            del self._waiting[member]
            self._granted[member] = None
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
        now, breaker = self._now(), self.breaker
        if not self._waiting or breaker.ready(now, patient=True):
            return
        until, probe = breaker.until(patient=True), breaker.probe
        if not (probe is None or probe in self._streams or probe in self._granted):
            until = max(until, now + RECHECK)
        if until > now:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = asyncio.get_running_loop().call_at(until, self._pause_over)

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
