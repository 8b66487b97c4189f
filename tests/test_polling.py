"""Games whose loop is not asyncio: they poll, and Foretell has a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import runpy
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from reactivex.subject import Subject

import foretell
from foretell import Ended, Patched, Started
from foretell.operators.publish import publish
from foretell.sinks.polled import Polled

STATE = {"mode": "combat", "actors": {"grik": {"name": "Grik", "hp": 9, "max_hp": 9}}}
SETTINGS = {"narrator_profile": "instant"}


def test_what_is_polled_is_what_is_new() -> None:
    source: Subject[str] = Subject()
    stream = source.pipe(publish(lambda where, error: None, current=lambda: ["(so far)"]))
    stream.connect()
    polled = Polled(stream, lambda work: work(), bound=3)
    source.on_next("a")
    assert polled.take() == ["(so far)"]
    for item in "bc":
        source.on_next(item)
    assert polled.take() == ["b", "c"]
    assert polled.take() == []


def test_who_does_not_poll_is_a_late_subscriber_again(  # G3
    caplog: pytest.LogCaptureFixture,
) -> None:
    source: Subject[str] = Subject()
    now = ["-"]
    stream = source.pipe(publish(lambda where, error: None, current=lambda: now))
    stream.connect()
    polled = Polled(stream, lambda work: work(), bound=3)
    polled.take()
    with caplog.at_level(logging.WARNING, "foretell"):
        for item in "abcdef":
            source.on_next(item)
    assert caplog.messages == ["nobody has polled for 3 events: they are dropped"]
    now[:] = ["as it stands"]
    assert polled.take() == ["as it stands"]
    source.on_next("g")
    assert polled.take() == ["g"]


async def test_each_viewer_polls_what_it_may_see() -> None:
    async with foretell.Game(SETTINGS) as game:
        session = await game.session("arcade")
        session.update(STATE)
        assert session.poll("mira") == session.poll("tom") == []
        await session.outcome("mira", "bow", "miss", target="grik", to=["mira"])
        events = session.poll("mira")
        assert isinstance(events[0], Started) and isinstance(events[-1], Ended)
        assert events[-1].text == "".join(each.text for each in events if isinstance(each, Patched))
        assert session.poll("tom") == session.poll("mira") == []
        telling = session.outcome("mira", "bow", "miss", target="grik")
        await session.close()
    ends = [each for each in session.poll("tom") if isinstance(each, Ended)]
    assert [each.telling for each in ends] == [telling.id]  # what there was can still be had
    assert session.poll() == []


@pytest.mark.real_time
def test_a_game_with_no_event_loop_has_a_thread_of_ours() -> None:
    with foretell.background(SETTINGS) as game:
        session = game.session("arcade")
        session.update(STATE)
        assert session.poll() == []
        action = session.declare("mira", "bow", target="grik")
        telling = action.outcome("hit", damage=3)
        events: list[Any] = []
        while not events or not isinstance(events[-1], Ended):
            events += session.poll()
            time.sleep(0.001)
        told = game.run(telling)
        assert told.text == events[-1].text
        late = session.outcome("mira", "bow", "hit", target="grik", damage=3)
        late.cancel()
        with pytest.raises(foretell.TellingError):
            game.run(late, timeout=5)
        with pytest.raises(foretell.StateError, match="already open"):
            game.session("arcade")
        game.run(session.close())
        with pytest.raises(foretell.StateError, match="closed"):
            session.update(STATE)
        game.session("next")
    assert not [each for each in threading.enumerate() if each.name == "foretell"]
    assert session.poll("nobody yet") == []
    game.close()
    with pytest.raises(foretell.StateError, match="make another"):
        game.session("after")


@pytest.mark.real_time
def test_what_would_wait_for_itself_is_refused() -> None:
    with foretell.background(SETTINGS) as game:

        async def inside() -> None:
            game.run(asyncio.sleep(0))

        with pytest.raises(foretell.StateError, match="its own loop"):
            game.run(inside())
        with pytest.raises(TimeoutError):
            game.run(asyncio.Event().wait(), timeout=0.01)


def test_bad_settings_start_no_thread() -> None:
    with pytest.raises(foretell.ConfigError, match="intensity"):
        foretell.background({"intensity": "wild"})
    assert not [each for each in threading.enumerate() if each.name == "foretell"]


@pytest.mark.real_time
def test_sixty_frames_a_second(capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(foretell.__file__).parent / "examples" / "sixty_frames.py"
    runpy.run_path(str(example), run_name="__main__")
    assert "100% cache hits" in capsys.readouterr().out
