"""``foretell blind``: can anyone tell what was prepared from what was written afterwards?"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from .config import Settings
from .errors import ForetellError
from .sinks.terminal import counted, plain, safe
from .streams.log import LogError, check_target
from .whatif import target
from .whatif.chance import fewest_to_show, wilson
from .whatif.pairs import Pair, draw, pairs

__all__ = ["QUESTIONS", "read_votes", "report", "run"]

QUESTIONS = {"prepared": "Which one was prepared?", "better": "Which one is better?"}
KEYS = ("1", "2", "=", "q")
"""The first, the second, no telling, and no more."""

GRAMMAR = (
    "Both texts are the narrator's, a grammar: no vote on them says anything of a language model."
)


def run(
    log: str,
    settings: Settings,
    *,
    count: int,
    ask: str,
    votes: str | None,
    speed: float | None,
    output: str | None,
    json: bool,
) -> int:
    """Show pairs, take votes from a file, a pipe or the keyboard, and report.

    Without votes, and with no one at the keyboard, the pairs are printed, and not their solution.

    :raises LogError: for a log that cannot be read, or a result that cannot be written.
    :raises ForetellError: where nothing was told from what had been prepared, or for bad votes.
    :return: 130 if it was interrupted; what had been voted is reported all the same.
    """
    if output is not None and os.path.lexists(output):
        raise LogError(output, 0, "exists, and votes are not replaced; name another file")
    real = None if output is None else check_target(output)
    voted = None if votes is None else read_votes(votes)
    every = pairs(log, settings, speed)
    if not every:
        raise ForetellError(
            f"{log}: no two texts to compare: nothing was told from what had been prepared at "
            f"intensity {settings.intensity}, or only what a fresh telling says too"
        )
    drawn = draw(every, count, random.Random(settings.seed))
    if len(drawn) < count:
        there = f"there {'is' if len(drawn) == 1 else 'are'} only {counted(len(drawn), 'pair')}"
        print(f"foretell: warning: {there}", file=sys.stderr)
    about = {"log": log, "seed": settings.seed, "intensity": settings.intensity, "asked": ask}
    if voted is not None:
        if len(voted) > len(drawn):
            many = counted(len(voted), "vote")
            raise ForetellError(f"{votes}: {many} for {counted(len(drawn), 'pair')}")
    elif json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        _print_pairs(about, drawn, json=json)
        return 0
    interrupted = False
    if voted is None:
        voted = []
        try:
            for vote in _asked(drawn, ask, settings):
                voted.append(vote)
                _save(real, about, drawn, voted)
        except KeyboardInterrupt:
            interrupted = True
            print()
    found = _save(real, about, drawn, voted)
    print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() if json else _describe(found))
    if output is not None:
        print(plain(f"saved in {output}"), file=sys.stderr)
    return 130 if interrupted else 0


def read_votes(path: str) -> list[str]:
    """Votes of a file (``-``: standard input): ``1``, ``2``, ``=`` or ``q``, with space between.

    ``#`` begins a comment. After a ``q`` nothing is read.

    :raises LogError: for a file that cannot be read, or anything else in it.
    """
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text("utf-8-sig")
    except OSError as error:
        raise LogError(path, 0, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LogError(path, 0, "is not text") from None
    votes: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        for vote in line.partition("#")[0].split():
            if vote not in KEYS:
                raise LogError(path, number, f"{vote[:20]!r} is no vote: 1, 2, = or q")
            if vote == "q":
                return votes
            votes.append(vote)
    return votes


def _asked(drawn: Sequence[Pair], ask: str, settings: Settings) -> Iterator[str]:
    """One vote after the other, from the keyboard, until ``q`` or the end of input."""
    console = Console(highlight=False)
    if settings.base_url is None:
        console.print(safe(GRAMMAR, "dim"))
    for number, pair in enumerate(drawn, 1):
        _show_pair(console, number, len(drawn), pair)
        vote = ""
        while vote not in KEYS:
            console.print(safe(f"{QUESTIONS[ask]} 1, 2, = (no telling), q (quit): "), end="")
            line = sys.stdin.readline()
            vote = line.strip().lower() if line else "q"
        if vote == "q":
            return
        yield vote


def _show_pair(console: Console, number: int, of: int, pair: Pair) -> None:
    console.print()
    console.print(safe(f"{number} of {of}  {pair.happened}", "bold"), soft_wrap=True)
    for place, text in enumerate(pair.shown, 1):
        console.print()
        console.print(safe(f"[{place}] {text}"), soft_wrap=not console.is_terminal)
    console.print()


def _print_pairs(about: Mapping[str, Any], drawn: Sequence[Pair], *, json: bool) -> None:
    if json:
        shown = [
            {"outcomes": pair.outcomes, "happened": pair.happened, "texts": pair.shown}
            for pair in drawn
        ]
        print(orjson.dumps({**about, "pairs": shown}, option=orjson.OPT_INDENT_2).decode())
        return
    console = Console(highlight=False)
    for number, pair in enumerate(drawn, 1):
        _show_pair(console, number, len(drawn), pair)
    ask = QUESTIONS[about["asked"]]
    console.print(
        safe(f"{ask} Vote 1, 2 or = for each, in a file, and give it as --votes FILE."),
        soft_wrap=True,
    )


def _save(
    real: str | None, about: Mapping[str, Any], drawn: Sequence[Pair], voted: Sequence[str]
) -> dict[str, Any]:
    """The result so far; written after each vote, so that nothing is lost."""
    found = {**about, **report(drawn, voted, about["asked"])}
    if real is not None:
        target.write(real, orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n")
    return found


def report(drawn: Sequence[Pair], voted: Sequence[str], ask: str) -> dict[str, Any]:
    """What the votes come to, as plain JSON: counts, share, 95 % interval, and in words.

    The share is of the votes for one of the two; ties are counted apart.
    """
    picks = [pair.picked(vote) for pair, vote in zip(drawn, voted, strict=False)]
    prepared, decided = picks.count("prepared"), len(picks) - picks.count("tie")
    interval = wilson(prepared, decided) if decided else None
    return {
        "votes": {name: picks.count(name) for name in ("prepared", "fresh", "tie")},
        "open": len(drawn) - len(picks),
        "share": round(prepared / decided, 4) if decided else None,
        "interval": None if interval is None else [round(each, 4) for each in interval],
        "verdict": _verdict(prepared, decided, ask),
        "pairs": [
            {
                "outcomes": pair.outcomes,
                "happened": pair.happened,
                "prepared": pair.prepared,
                "fresh": pair.fresh,
                "first": pair.first,
                "picked": picks[at] if at < len(picks) else None,
            }
            for at, pair in enumerate(drawn)
        ],
    }


def _verdict(prepared: int, decided: int, ask: str) -> str:
    if not decided:
        return "No vote for either text, so nobody has been shown to tell them apart."
    low, high = wilson(prepared, decided)
    if low > 0.5:
        known = "is known for what it is" if ask == "prepared" else "is preferred"
        return f"They can be told apart: the prepared text {known}."
    if high < 0.5:
        known = "is taken for the prepared one" if ask == "prepared" else "is preferred"
        return f"They can be told apart: the fresh text {known}."
    needed = fewest_to_show(decided)
    enough = (
        "so few votes cannot show it" if needed is None else f"that takes {needed} of {decided}"
    )
    return f"Nobody has been shown to tell them apart ({enough})."


def _describe(found: Mapping[str, Any]) -> str:
    votes, interval = found["votes"], found["interval"]
    counts = f"prepared {votes['prepared']}, fresh {votes['fresh']}, no telling {votes['tie']}"
    lines = [f"picked     {counts}" + (f", not asked {found['open']}" if found["open"] else "")]
    if interval is not None:
        low, high = interval
        lines.append(
            f"prepared   {found['share']:.0%} of the votes for one of them "
            f"(95 % interval {low:.0%} to {high:.0%})"
        )
    return "\n".join([*lines, found["verdict"]])
