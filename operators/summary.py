"""A rolling summary of what was told, for the prompts of what comes later."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple

import orjson

from ..streams.models import Message, ModelError, Purpose, Request
from ..streams.tasks import Tasks
from ..streams.timers import Timers
from .generation import GenerationClosed, Generations, Lease, Trace
from .narrative import Ended, Narrative

__all__ = ["Chronicle", "Summaries", "Summary", "shortened", "summary_request"]

KEPT = 16
"""So many are kept, for a rewind goes back to an earlier one, and forth again."""
QUIET = 1.0
"""Seconds after a telling before it is thought that nobody is about to want another."""
LIMIT = 60.0
"""Seconds from its request to its end; a stream that stalls would hold up all that come later."""
CHARS_PER_TOKEN = 4
ENDS = (". ", "! ", "? ", "… ", "。")

SYSTEM = """\
You keep the record of a role-playing night, for its narrator. You are given the RECORD until now \
and the STORY since. Answer with the new record alone: one paragraph of at most {words} words, in \
the past tense and in the language of the STORY. Say who did what and why it matters later: who \
fell, where they are, what was won, lost, broken, learned or promised. Leave out single blows, \
and all that is neither in the RECORD nor in the STORY.
"""


class Summary(NamedTuple):
    """What has happened up to an outcome, by the number of its input.

    ``last`` is the last input that it hangs on: one that had something told again may be later.
    """

    text: str
    upto: int
    last: int


NOTHING = Summary("", 0, 0)


class Summaries:
    """The summaries of a session; the one that counts is the last of which nothing is undone.

    Each builds on the one before it, and inputs that stand follow each other. So of one whose last
    input stands, all stand.
    """

    def __init__(self) -> None:
        self._written: deque[Summary] = deque(maxlen=KEPT)
        self._stands: Callable[[int], bool] = lambda number: True

    def add(self, summary: Summary) -> None:
        """Another has been written."""
        self._written.append(summary)

    def restore(self, line: Mapping[str, Any]) -> None:
        """Take in a recording's ``~summary`` line."""
        self.add(Summary(line["text"], line["upto"], line["last"]))

    def rewound(self, stands: Callable[[int], bool]) -> None:
        """Something is undone, or is not any more.

        :param stands: whether an input, named by its number, does.
        """
        self._stands = stands

    def unheard(self, number: int) -> None:
        """Less was heard of what was told of an input: what tells it is dropped."""
        kept = [each for each in self._written if each.upto < number]
        self._written = deque(kept, maxlen=KEPT)

    def stands(self, summary: Summary) -> bool:
        """Whether nothing that it tells is undone."""
        return self._stands(summary.last)

    def standing(self, before: int | None = None) -> Summary:
        """The one that counts; an empty one, if there is none.

        :param before: it may tell only of inputs before this one.
        """
        for each in reversed(self._written):
            if self.stands(each) and (before is None or each.upto < before):
                return each
        return NOTHING


class Chronicle:
    """Writes a summary when as much was told as the prompts remember, and nobody waits.

    ::

        told       ttttt---tttttt--ttt-------------------ttt
        summary                       1s [sssss]             of the one before it, and what is new
        prompts    last N tokens told    | the summary, and the last N tokens told

    It is a speculation of no value: it waits until there is room, and makes room for all else. One
    that fails, is not whole after a minute, or is undone while it is written, leaves nothing: the
    next telling tries again.

    :param since: what was told to everybody after an outcome, and of that the last outcome, and
        the last input.
    :param ask: the request for a summary of the one before and of that; none, if it is not to be.
    :param due: characters that have to be told for another; 0 turns it off.
    :param most: characters a summary may have.
    :param idle: whether nothing is being told.
    """

    def __init__(
        self,
        summaries: Summaries,
        since: Callable[[int], tuple[Sequence[str], int, int]],
        ask: Callable[[str, Sequence[str]], Request | None],
        generations: Generations,
        timers: Timers,
        tasks: Tasks,
        trace: Trace,
        *,
        due: Callable[[], int],
        most: Callable[[], int],
        idle: Callable[[], bool],
        revision: Callable[[], int],
    ) -> None:
        self._summaries = summaries
        self._since = since
        self._ask = ask
        self._generations = generations
        self._timers = timers
        self._tasks = tasks
        self._trace = trace
        self._due = due
        self._most = most
        self._idle = idle
        self._revision = revision
        self._alarm = timers.alarm("summary", self._begin)
        self._late = timers.alarm("summary late", partial(self._stop, "late"))
        self._lease: Lease | None = None
        self._next = NOTHING
        self._over = False

    def on_narrative(self, event: Narrative) -> None:
        """A telling that is over may make one due."""
        if isinstance(event, Ended) and self._wanted() is not None:
            self._alarm.set(self._timers.time() + QUIET)

    def rewound(self) -> None:
        """What is undone is not to be written down."""
        if not self._summaries.stands(self._next):
            self._stop("undone")

    def unheard(self, number: int) -> None:
        """See :meth:`Summaries.unheard`."""
        self._summaries.unheard(number)
        if number <= self._next.upto:
            self._stop("unheard")

    def close(self) -> None:
        """The session ends."""
        self._over = True
        self._alarm.cancel()
        self._stop("over")

    def _stop(self, why: str) -> None:
        self._late.cancel()
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release(why)

    def _wanted(self) -> tuple[str, Sequence[str], Summary] | None:
        """The text of the one before, what was told since, and what is to be written of both."""
        due, before = self._due(), self._summaries.standing()
        if not due or self._over or self._lease is not None:
            return None
        told, upto, last = self._since(before.upto)
        if sum(map(len, told)) < due:  # ints
            return None
        return before.text, told, Summary("", upto, max(last, before.last))

    def _begin(self) -> None:
        wanted = self._wanted()
        if wanted is None:
            return
        if not self._idle():
            self._alarm.set(self._timers.time() + QUIET)
            return
        before, told, following = wanted
        request = self._ask(before, told)
        if request is None:
            return
        generation = self._generations.open(request, (), revision=self._revision(), value=0.0)
        lease = self._lease = generation.lease()
        self._next = following
        self._late.set(self._timers.time() + LIMIT)
        self._tasks.start(self._write(lease, following), name=f"summary {generation.id}")

    async def _write(self, lease: Lease, following: Summary) -> None:
        generation = lease.generation
        try:
            async with aclosing(generation.chunks()) as chunks:
                text = "".join([chunk async for chunk in chunks])
        except (ModelError, GenerationClosed):
            return
        finally:
            wanted = self._lease is lease
            if wanted:
                self._lease = None
                self._late.cancel()
            lease.release("written")
        text = shortened(text, self._most())
        if text and wanted:
            written = following._replace(text=text)
            self._trace("~summary", generation=generation.id, **written._asdict())
            self._summaries.add(written)


def summary_request(model: str, tokens: int, before: str, told: Sequence[str]) -> Request:
    """What a model is asked for a summary of about so many tokens."""
    record = f"RECORD {orjson.dumps(before).decode()}\n" if before else ""
    words = max(10, tokens * 3 // 5)
    return Request(
        model=model,
        system=SYSTEM.replace("{words}", str(words)),
        messages=(Message("user", f"{record}STORY {orjson.dumps(told).decode()}"),),
        max_tokens=max(64, 2 * tokens),
        effort="low",
        thinking={"type": "disabled"},
        purpose=Purpose.SUMMARY,
    )


def shortened(text: str, most: int) -> str:
    """A text in one line, ended after a sentence, or else a word, where it is longer than that."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    kept = text[: most + 1]
    at = max(kept.rfind(end) + 1 for end in ENDS) or max(0, kept.rfind(" "))
    return kept[:at].strip()
