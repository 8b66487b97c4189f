"""What is wanted within the horizon: as probable as is said, at the pace of such moments."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretell.cli import _parser
from foretell.commands.servers import warming
from foretell.operators.pace import coming
from foretell.prefetch import Learned
from foretell.prefetch.config import PrefetchConfig
from foretell.prefetch.service import Prefetch
from foretell.sinks.usage_store import Query, UsageStore

MONDAY, DAY, HOUR = 1_772_409_600.0, 86_400, 3600
WORKING = (0, 1, 2, 3, 4, 7, 8)


def steady() -> Iterator[Query]:
    """From 9 to 17 on working days, one a minute on average, some keys more often than others."""
    rng = random.Random(1)
    for day in WORKING:
        at = MONDAY + day * DAY + 9 * HOUR
        while (at := at + rng.expovariate(1 / 60)) < MONDAY + day * DAY + 17 * HOUR:
            yield Query(at, f"s{int(12 * rng.random() ** 2)}", "x", True)


def scenes() -> Iterator[Query]:
    """Evenings of scenes of 20 minutes, each with 3 of 30 monsters."""
    rng = random.Random(1)
    for day in WORKING:
        at = MONDAY + day * DAY + 19 * HOUR
        for _ in range(12):
            cast, end = rng.sample(range(30), 3), at + 1200
            while (at := at + rng.expovariate(1 / 40)) < end:
                yield Query(at, f"m{rng.choice(cast)}", "x", True)


def bursts() -> Iterator[Query]:
    """A dozen queries within a minute, for 3 of 20 keys; then nothing for 20 minutes or so."""
    rng = random.Random(1)
    for day in WORKING:
        at = MONDAY + day * DAY + 9 * HOUR
        while at < MONDAY + day * DAY + 17 * HOUR:
            cast = rng.sample(range(20), 3)
            for _ in range(12):
                yield Query(at, f"b{rng.choice(cast)}", "x", True)
                at += rng.expovariate(1 / 5)
            at += rng.expovariate(1 / 1200)


def learned(path: Path, queries: list[Query], by: str = "ensemble") -> Learned:
    with UsageStore(path) as store:
        store.record_all(queries)
        return Learned(store, PrefetchConfig(), by)


@pytest.mark.parametrize("by", ["document", "ensemble"])
def test_closed_hours_slow_no_open_ones_and_at_night_nothing_is_wanted(
    tmp_path: Path, by: str
) -> None:
    queries = [
        Query(MONDAY + day * DAY + 9 * HOUR + 60 * minute, f"k{minute % 12}", "x", True)
        for day in WORKING
        for minute in range(480)
    ]
    noon, night = MONDAY + 8 * DAY + 12 * HOUR, MONDAY + 8 * DAY + 22 * HOUR
    open_now = learned(tmp_path / "noon", [each for each in queries if each.at < noon], by)
    assert open_now.pace(noon) == pytest.approx(15, abs=1)
    assert len(list(open_now.worth_fetching(noon))) == 12
    closed = learned(tmp_path / "night", queries, by)
    assert closed.pace(night) < 0.5 and list(closed.worth_fetching(night)) == []


@pytest.mark.parametrize("usage", [steady, scenes])
def test_what_is_said_to_be_wanted_is_wanted_as_often_as_is_said(
    tmp_path: Path, usage: object
) -> None:
    queries = list(usage())  # type: ignore[operator]
    first, end = (9, 17) if usage is steady else (19, 23)
    rows: list[list[tuple[float, bool]]] = [[], []]  # what would not be fetched, and what would
    for quarter in range(first * 4 + 1, end * 4, 2):
        now = MONDAY + 8 * DAY + quarter * 900.0
        known = learned(tmp_path / str(quarter), [each for each in queries if each.at < now])
        came = {each.subject for each in queries if now <= each.at < now + 900}
        for each in known.scored(now, 30):
            p = known.needed(each.key, each.probability, now)
            rows[p >= 0.6].append((p, each.key[0] in came))
    for row in rows:
        said = math.fsum(p for p, _ in row) / len(row)
        assert said == pytest.approx(sum(c for _, c in row) / len(row), abs=0.2)  # ints
    told = known.as_json(now)["needed_accuracy"]
    assert sum(row["predictions"] for row in told) > 100  # ints
    assert all(abs(r["mean"] - r["came"]) < 0.2 for r in told if r["predictions"] >= 30)


@pytest.mark.parametrize("by", ["document", "ensemble"])
@pytest.mark.parametrize("usage", [steady, scenes, bursts])
def test_in_a_quiet_moment_no_more_is_said_to_be_wanted_than_is(
    tmp_path: Path, usage: object, by: str
) -> None:
    queries = list(usage())  # type: ignore[operator]
    late = queries[len(queries) * 2 // 3 :]
    quiet = [a.at + 60 for a, b in itertools.pairwise(late) if 60 < b.at - a.at < HOUR]
    said, came = [], 0
    for now in quiet[:: max(1, len(quiet) // 16)]:
        known = learned(tmp_path / str(now), [each for each in queries if each.at <= now], by)
        then = {each.subject for each in queries if now < each.at <= now + 900}
        for each in known.scored(now, 15):
            said.append(known.needed(each.key, each.probability, now))
            came += each.key[0] in then
    assert len(said) > 150
    assert math.fsum(said) / len(said) == pytest.approx(came / len(said), abs=0.08)


def test_a_moment_is_like_those_when_it_was_as_long_since_the_last_query() -> None:
    nights = [day * DAY + minute * 60.0 for day in range(20) for minute in range(60)]
    last = nights[-1]
    at_once = dict(coming(nights, last, 600))
    assert at_once[10] > 0.8 and 0.01 < at_once[0] < 0.03  # the last of each hour has none after it
    assert dict(coming(nights, last + HOUR, 600))[0] == pytest.approx(19 / 20)
    before_the_next = dict(coming(nights, last + DAY - HOUR + 30, 600))
    assert before_the_next[10] == pytest.approx(19 / 20)


def test_where_no_moment_was_like_it_the_last_horizon_counts() -> None:
    assert coming([], 5.0, 900) == [(1, 1.0)]
    assert coming([7.0], 5.0, 900) == [(1, 1.0)]
    assert coming([n / 10 for n in range(9)], 2.0, 900) == [(8, 1.0)]
    assert coming([0.0, 60.0, 5000.0, 5060.0], 7060.0, 900) == [(0, 0.5), (1, 0.5)]


@pytest.mark.real_time
@pytest.mark.parametrize(("options", "by"), [([], "ensemble"), (["--by", "document"], "document")])
async def test_who_predicts_for_an_idle_warm_up_can_be_said(
    tmp_path: Path, options: list[str], by: str
) -> None:
    for command in ("serve", "mcp"):
        args = _parser().parse_args([command, *options])
        prefetch = Prefetch(str(tmp_path), **warming(args))
        assert (await prefetch.warmup())["by"] == by
        assert (await prefetch.stats())["by"] == "document"
        await prefetch.aclose()


@pytest.mark.parametrize("by", ["document", "ensemble"])
def test_where_much_is_new_that_is_said_and_both_are_marked_alike(tmp_path: Path, by: str) -> None:
    rng = random.Random(1)
    names = [f"new-{n}" if rng.random() < 0.4 else f"k{rng.randrange(12)}" for n in range(3_000)]
    queries = [Query(MONDAY + 60 * n, name, "x", True) for n, name in enumerate(names)]
    found = learned(tmp_path / "usage.sqlite", queries, by)
    assert found.novelty == pytest.approx(0.4, abs=0.1)
    assert found.marks.report()["log_loss"] < 2.6
