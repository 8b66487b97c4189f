"""A game whose loop is not asyncio: sixty frames a second, and the narrative drawn as it comes."""

import time
from typing import Any

import foretell

FRAME = 1 / 60
STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {"ash": {"name": "Ash"}, "wolf": {"name": "Wolf", "hp": 9, "max_hp": 9}},
}

longest, text = 0.0, ""
with foretell.background({"narrator_profile": "instant"}) as game:
    session = game.session("arcade-1")
    for frame in range(10_000):
        began = time.perf_counter()
        STATE["actors"]["ash"]["pos"] = [frame % 320, 4]
        session.update(STATE)
        if frame == 0:
            action = session.declare("ash", "spear", target="wolf")
        elif frame == 60:
            action.outcome("hit", damage=4)
        ended = False
        for event in session.poll():
            if isinstance(event, foretell.Patched):
                text += event.text
            ended = isinstance(event, foretell.Ended)
        longest = max(longest, time.perf_counter() - began)
        if ended:
            break
        time.sleep(max(0.0, FRAME - (time.perf_counter() - began)))
    print(text)
    print(f"{frame} frames, the longest with {longest * 1000:.1f} ms of work;", session.summary())
