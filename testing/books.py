"""What a session counts, before a crash and when it goes on: tokens, dollars and tellings (G2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .bills import MICRODOLLAR, PURPOSES
from .broken import Broken
from .checker import Guarantees

__all__ = ["Books"]

SAME = ("outcomes", "hit_rate", "latency_ms", "cancelled", "errors")


class Books:
    """The report of a session at this moment, and what may be added to it if it ends here.

    A telling that is under way is superseded then, and a stream that is open is estimated.
    """

    def __init__(self, held: Guarantees) -> None:
        known = held.known
        self._now = known.now
        self._report = known.session.report()
        again = [each.again is not None for each in known.under_way.values()]
        self._cut = {"served": again.count(False), "retold": again.count(True)}
        self._tokens, self._dollars = held.bills.under_way()

    def compare(self, after: Mapping[str, Any]) -> None:
        """Hold the report of the session that goes on to this one.

        :raises Broken: for the first number that is another.
        """
        before, at = self._report, self._now()
        for name, cut in self._cut.items():
            due = {**before[name], "superseded": before[name]["superseded"] + cut}
            if after[name] != due:
                raise Broken("G2", f"resumed with {name} {after[name]}, and it was {due}", at=at)
        outcomes = before["outcomes"] + self._cut["served"]
        for name in SAME:
            due = outcomes if name == "outcomes" else before[name]
            if after[name] != due:
                raise Broken("G2", f"resumed with {name} {after[name]}, and it was {due}", at=at)
        spent, had = (
            sum(each["tokens"].get(name, 0) for name in PURPOSES) for each in (after, before)
        )
        if not self._tokens.has(spent - had):
            what = f"resumed with {spent} tokens, and it was {had} (and {self._tokens} under way)"
            raise Broken("G2", what, at=at)
        if not self._tokens.most and after["tokens"] != before["tokens"]:
            what = f"resumed with {after['tokens']}, and it was {before['tokens']}"
            raise Broken("G2", what, at=at)
        rounded = 2 * MICRODOLLAR
        if not self._dollars.has(after["cost_usd"] - before["cost_usd"], rounded):
            paid, had = after["cost_usd"], before["cost_usd"]
            what = f"resumed with ${paid}, and it was ${had} (and ${self._dollars} under way)"
            raise Broken("G2", what, at=at)
