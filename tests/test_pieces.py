"""What a command reads in pieces, and for how long."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretell.errors import ForetellError
from foretell.pieces import pieces, within


class Source:
    """So many pieces, which never wait; ``ready`` is set when the first 50 are made."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.made = 0
        self.ready = threading.Event()

    def __iter__(self) -> Iterator[str]:
        for number in range(1, self.count + 1):
            self.made = number
            if number == 50:
                self.ready.set()
            yield str(number)


def test_all_that_comes_in_time_is_passed_on() -> None:
    assert list(within(60, ["a", b"b"])) == ["a", b"b"]


def test_a_limit_may_be_longer_than_a_thread_can_wait() -> None:
    def source() -> Iterator[str]:
        time.sleep(0.05)
        yield "a"

    assert list(within(1e300, source())) == ["a"]


def test_what_the_source_raises_is_raised_after_what_came_before_it() -> None:
    def source() -> Iterator[str]:
        yield "a"
        raise OSError("gone")

    found = within(60, source())
    assert next(found) == "a"
    with pytest.raises(OSError, match="gone"):
        next(found)


def test_a_source_that_never_waits_is_left_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr("foretell.pieces.time.monotonic", lambda: next(ticks) / 8)
    source = Source(60)
    found = within(1, source)
    first = next(found)
    assert source.ready.wait(20)
    assert [first, *itertools.islice(found, 6)] == ["1", "2", "3", "4", "5", "6", "7"]
    with pytest.raises(TimeoutError):  # 3-24
        next(found)


def test_a_limit_that_was_over_before_it_was_looked_at_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 5.0])
    monkeypatch.setattr("foretell.pieces.time.monotonic", lambda: next(clock))
    with pytest.raises(TimeoutError):
        next(within(1, ["a"]))


def test_a_fast_source_is_not_read_far_ahead() -> None:
    source = Source(300)
    found = within(60, source)
    next(found)
    assert source.ready.wait(20)
    time.sleep(0.05)
    assert source.made < 100
    assert len(list(found)) == 299


@pytest.mark.parametrize(
    ("size", "pieces_before"), [(None, [b"steel"]), (1, list("steel")), (4, ["stee", "l"])]
)
def test_what_stands_before_a_zero_byte_comes_before_the_error(
    tmp_path: Path, size: int | None, pieces_before: list[str | bytes]
) -> None:
    file = tmp_path / "answer"
    file.write_bytes(b"steel\0" + b"on stone" * 100_000)
    found = pieces(str(file), size)
    assert list(itertools.islice(found, len(pieces_before))) == pieces_before
    with pytest.raises(ForetellError, match="answer is no text: it has a zero byte"):
        next(found)
