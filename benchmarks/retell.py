"""What a retelling prepared ahead costs, and what it gains, by how often one is asked for.

    python benchmarks/retell.py LOG [--wait 8]

A share of the log's tellings, drawn from a seed, is asked for once more some seconds after its
outcome, if no other outcome comes before. The night is played with no retelling prepared, as
``conservative`` does it, and with each prepared, in virtual time by the narrator. ``foretell
import fireball raw.jsonl -o LOG`` makes a log of a recorded combat.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
from unittest import mock

from foretell.config import Settings
from foretell.game import narrator
from foretell.operators.narrative import Ended, Narrative
from foretell.replay import load, play
from foretell.sinks.transcript import Transcript
from foretell.streams import events as ev
from foretell.streams.clock import run_virtual

AS_IT_IS = Transcript.retold
WAYS = {"none": lambda *_: 0.0, "who asks": AS_IT_IS, "each": lambda *_: 1 / 20}


def asked(log: list[ev.Input], share: float, wait: float) -> list[ev.Input]:
    """The log, with retellings asked for."""
    rng = random.Random(0)
    times = [event.t for event in log if isinstance(event, ev.Outcome)] + [math.inf]
    made: list[ev.Input] = []
    due: ev.Retell | None = None
    for event in log:
        if due is not None and due.t <= event.t:
            made.append(due)
            due = None
        made.append(event)
        if isinstance(event, ev.Outcome):
            times.pop(0)
            if rng.random() < share and event.t + wait < times[0]:
                due = ev.Retell(event.t + wait, event.action_id or f"#{len(made)}")
    return made


def main() -> None:
    """See the module."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shape)
    parser.add_argument("log", metavar="LOG")
    parser.add_argument("--wait", type=float, default=8.0, metavar="S", help="seconds [8]")
    args = parser.parse_args()
    log = load(args.log)[1]
    print("share asked for   prepared for   dollars   tokens ahead   retold: hit of all, mean")
    for share in (0.0, 0.1, 0.25, 0.5, 1.0):
        night = asked(log, share, args.wait)
        for way, retold in WAYS.items():
            seconds: list[float] = []

            def on_event(event: Narrative, seconds: list[float] = seconds) -> None:
                if isinstance(event, Ended) and event.retells is not None:
                    seconds.extend(each for each in event.latency if each is not None)

            settings = Settings.load({"intensity": "conservative"})
            with mock.patch.object(Transcript, "retold", retold):
                playing = play(night, settings, model=narrator(settings), watch=on_event)
                report = run_virtual(playing).report
            mean = f"{1000 * statistics.mean(seconds):5,.0f} ms" if seconds else "-"
            ahead, hits = report["tokens"]["prefetch"], report["retold"]["hit"]
            print(
                f"{share:15.0%}   {way:12}   {report['cost_usd']:7.4f} {ahead:14,} "
                f"{hits:9} of {len(seconds):2} {mean:>12}"
            )


if __name__ == "__main__":
    main()
