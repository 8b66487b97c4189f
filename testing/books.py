"""What a session counts, before a crash and when it goes on: tokens, dollars and tellings (G2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .broken import Broken
from .evidence import EPSILON, Evidence, now
from .judge_streams import CHARS_PER_TOKEN, ROUGHLY, prompt_of

__all__ = ["Books"]

PURPOSES = ("prefetch", "refine", "foreground")
SAME = ("outcomes", "hit_rate", "latency_ms", "cancelled", "errors")
MICRODOLLAR = 1e-6


class Books:
    """The report of a session at this moment, and what may be added to it if it ends here.

    A telling that is under way is superseded then, and a stream that is open is estimated.
    """

    def __init__(self, known: Evidence) -> None:
        self._report = known.session.report()
        again = [each.again is not None for each in known.under_way.values()]
        self._cut = {"served": again.count(False), "retold": again.count(True)}
        open_now = [
            stream
            for stream in known.streams
            if stream.opened_at is not None
            and (stream.closed_at is None or stream.closed_at >= now() - EPSILON)
        ]
        chars = [len(prompt_of(each)) + len(each.text) for each in open_now]
        self._most = ROUGHLY * sum(chars) / CHARS_PER_TOKEN + len(open_now)

    def compare(self, after: Mapping[str, Any]) -> None:
        """Hold the report of the session that goes on to this one.

        :raises Broken: for the first number that is another.
        """
        before = self._report
        for name, cut in self._cut.items():
            due = {**before[name], "superseded": before[name]["superseded"] + cut}
            if after[name] != due:
                raise Broken("G2", f"resumed with {name} {after[name]}, and it was {due}", at=now())
        outcomes = before["outcomes"] + self._cut["served"]
        for name in SAME:
            due = outcomes if name == "outcomes" else before[name]
            if after[name] != due:
                raise Broken("G2", f"resumed with {name} {after[name]}, and it was {due}", at=now())
        spent, had = (sum(each["tokens"][name] for name in PURPOSES) for each in (after, before))
        if not had <= spent <= had + self._most:
            what = f"resumed with {spent} tokens, and it was {had} (and {self._most:g} under way)"
            raise Broken("G2", what, at=now())
        if not self._most:
            if after["tokens"] != before["tokens"]:
                what = f"resumed with {after['tokens']}, and it was {before['tokens']}"
                raise Broken("G2", what, at=now())
            if abs(after["cost_usd"] - before["cost_usd"]) > MICRODOLLAR:
                what = f"resumed with ${after['cost_usd']}, and it was ${before['cost_usd']}"
                raise Broken("G2", what, at=now())
