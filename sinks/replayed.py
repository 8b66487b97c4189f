"""A replay's report in a few lines, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .terminal import counted

__all__ = ["describe"]


def describe(found: Mapping[str, Any]) -> str:
    """A report (see ``foretell replay --json``) in a few lines."""
    served, tokens, cost = found["served"], found["tokens"], found["cost_usd"]
    told, turns = counted(found["outcomes"], "outcome"), counted(found["turns"], "turn")
    played = f"{found['virtual_seconds']:.0f} s played in {found['wall_seconds']:.2f} s"
    lines = [
        f"{found['session']}: {told} in {turns}, {played}",
        "served     " + ", ".join(f"{name} {count}" for name, count in served.items()),
        "first text " + _times(found["latency_ms"], found["baseline_latency_ms"]),
    ]
    if any(found["retold"].values()):
        told_again = (f"{name} {count}" for name, count in found["retold"].items() if count)
        lines.append("retold     " + ", ".join(told_again))
    timely = found["timely"]
    if timely and timely["outcomes"]:
        times = _times(timely["latency_ms"], timely["baseline_latency_ms"])
        share = f"{counted(timely['outcomes'], 'outcome')} ({timely['share']:.0%})"
        lines.append(f"           {share} prepared a first-token time ahead: {times}")
    if found["plans"]["plans"]:
        lines.append(_plans(found["plans"]))
    without = "" if cost["without"] is None else f" (without: ${cost['without']:.4f})"
    with_it = "-" if cost["with"] is None else f"${cost['with']:.4f}"
    wasted = f"{tokens['wasted']} of {tokens['prefetch']} prefetched tokens wasted"
    lines += [
        f"cost       {with_it}{without}, {wasted}, {tokens['estimated']} estimated",
        f"streams    {_streams(found['streams'])}",
        f"checked    {found['stale']} stale, {found['untrue']} untrue",
        f"trace      {found['trace_sha256']}",
        found["summary"],
    ]
    return "\n".join(lines)


def _plans(plans: Mapping[str, Any]) -> str:
    ended = ", ".join(f"{name} {count}" for name, count in plans["status"].items())
    first, model = _times(plans["first_ms"], None), _times(plans["model_ms"], None)
    return (
        f"plans      {plans['plans']}: {ended}\n           first step {first}; the model's {model}"
    )


def _streams(streams: Mapping[str, Any]) -> str:
    if streams["from"] != "recording":
        return f"from the {streams['from']}"
    recorded, requests = streams["recorded"], streams["requests"]
    text = f"recorded: {recorded:,} of {counted(requests, 'request')}"
    if recorded < requests:
        text += ", the others by the narrator"
    if streams["cut"]:
        text += f"; {streams['cut']} wanted further than recorded"
    without = streams["without"]
    if without["recorded"] < without["requests"]:
        held = f"{without['recorded']} of its {counted(without['requests'], 'request')}"
        text += (
            f"\n           without prefetch only {held} are recorded, so it is not shown: "
            "see --model-from narrator"
        )
    return text


def _times(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    def told(times: Mapping[str, Any]) -> str:
        if times["mean"] is None:
            return "none"
        return " / ".join(f"{times[name]:.0f}" for name in ("mean", "p50", "p95")) + " ms"

    text = f"{told(now)} (mean / p50 / p95)"
    return text if before is None else f"{text}; without prefetch {told(before)}"
