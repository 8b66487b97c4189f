"""What prefetching is worth, by the document's formulas, with its targets and alerts."""

from __future__ import annotations

import asyncio
import json
import logging
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.operators.executor import Executor
from foretell.operators.fetch_cache import Kept
from foretell.operators.fetch_events import Fetched, What
from foretell.operators.fetch_source import each
from foretell.operators.schedule import Item, Kind, Kinds, Lane, Priority, State, schedule
from foretell.sinks.prefetch_gauge import Alert, Gauge, Window
from foretell.sinks.prefetch_log import logged
from foretell.sinks.prefetch_metrics import Metrics
from foretell.sinks.prefetch_report import report, text
from foretell.sinks.prefetch_shelf import Habits, Shelf
from foretell.sinks.store_shelves import Limits
from foretell.sinks.store_stats import Access
from foretell.sinks.variant_store import VariantStore
from foretell.streams.tasks import Tasks
from foretell.streams.timers import LoopTimers


def loaded(key: str, t: float = 0.0, tokens: int = 100, seconds: float = 0.5) -> Fetched:
    return Fetched(What.LOADED, (key,), Lane.EAGER, t, tokens, seconds)


def night() -> Metrics:
    """The document's own session: 45 prefetches, 38 of them hits, 7 misses, 8,500 tokens."""
    metrics = Metrics()
    for number in range(45):
        tokens = 7_200 // 38 if number < 38 else 1_300 // 7
        tokens += 7_200 % 38 if number == 0 else 1_300 % 7 if number == 38 else 0
        metrics.on_event(loaded(f"page {number:02}", float(number), tokens, 2.3 / 38))
    for number in range(38):
        metrics.hit(f"page {number:02}", 50.0 + number)
    for number in range(7):
        metrics.missed(f"guard {number}", 90.0)
    metrics.close(100.0)
    return metrics


def test_the_documents_report_comes_out_of_its_session() -> None:  # 1-41 1-42 1-43 1-44 1-45
    found = report(night(), 100.0)
    assert found["session_summary"] == {
        "total_prefetches": 45,
        "cache_hits": 38,
        "cache_misses": 7,
        "hit_rate": pytest.approx(0.84, abs=0.005),
        "tokens_prefetched": 8_500,
        "tokens_used": 7_200,
        "efficiency": pytest.approx(0.85, abs=0.005),
        "estimated_time_saved": 2.3,
    }
    metrics = found["metrics"]
    assert metrics["prefetch_accuracy"]["value"] == pytest.approx(38 / 45, abs=1e-4)
    assert metrics["wasted_tokens"] == {"value": 1_300, "share": 0.1529, "target": 0.2, "met": True}
    assert metrics["cache_hit_rate"]["met"] and metrics["prefetch_accuracy"]["met"]
    assert json.loads(json.dumps(found)) == found


def test_the_report_names_the_accurate_the_missed_and_the_wasted() -> None:  # 1-46
    metrics = Metrics()
    metrics.on_plan(schedule([Item("mill", "lore"), Item("stew", "lore"), Item("late", "lore")]))
    for key in ("mill", "stew"):
        metrics.on_event(loaded(key))
    metrics.hit("mill", 1.0)
    metrics.missed("guard", 2.0)
    metrics.missed("late", 2.0)
    metrics.on_event(Fetched(What.EXPIRED, ("stew",), Lane.BACKGROUND, 30.0, 100))
    found = report(metrics, 31.0)
    assert {
        name: [each["name"] for each in of] for name, of in found["top_predictions"].items()
    } == {
        "accurate": ["mill"],
        "missed": ["guard"],
        "late": ["late"],
        "wasted": ["stew"],
    }
    told = text(found)
    assert "mill (predicted, used)" in told and "guard (not predicted, was needed)" in told
    assert "stew (predicted, not used)" in told and "hit rate 33% (target: above 70%)" in told


def test_names_come_by_how_often_and_ten_of_each() -> None:  # 1-46
    metrics = Metrics()
    for number in range(30):
        for _ in range(number):
            metrics.missed(f"n{number:02}", 0.0)
    (found,) = [report(metrics, 0.0)["top_predictions"]["missed"]]
    assert [each["name"] for each in found] == [f"n{number}" for number in range(29, 19, -1)]
    assert found[0]["times"] == 29


def test_targets_and_alerts_are_the_documents() -> None:  # 1-41 1-42 1-44
    metrics = Metrics()
    found = report(metrics, 0.0)["metrics"]
    limits = {name: (found[name]["target"], found[name].get("alert")) for name in (
        "cache_hit_rate", "prefetch_accuracy", "wasted_tokens")}  # fmt: skip
    assert limits == {
        "cache_hit_rate": (0.7, 0.5),
        "prefetch_accuracy": (0.6, 0.4),
        "wasted_tokens": (0.2, None),
    }
    for number in range(5):
        metrics.on_event(loaded(f"a{number}"))
    metrics.unused("a0", 1.0)  # 20 % are not less than 20 %
    assert report(metrics, 1.0)["metrics"]["wasted_tokens"]["met"] is False


def test_a_report_of_nothing_divides_by_nothing() -> None:
    found = report(Metrics(), 0.0)
    assert found["session_summary"]["hit_rate"] is None
    assert found["metrics"]["wasted_tokens"]["met"] is None
    assert "hit rate –" in text(found)


@pytest.mark.parametrize(("loads", "uses"), [(40, 20), (40, 30), (40, 40), (10, 10)])
@pytest.mark.parametrize("late", [False, True])
def test_whether_a_target_is_met_goes_by_the_value_that_is_shown(
    loads: int, uses: int, late: bool
) -> None:  # 1-42
    metrics = Metrics()
    for number in range(loads):
        metrics.on_event(loaded(f"page {number}", float(number)))
        if late:  # let go, and used after all
            metrics.unused(f"page {number}", number + 0.1)
    for number in range(uses):
        metrics.hit(f"page {number}", 60.0 + number)
    accuracy = report(metrics, 100.0)["metrics"]["prefetch_accuracy"]
    assert accuracy["value"] == round(uses / loads, 4)
    assert accuracy["met"] is (None if loads < 20 else accuracy["value"] > 0.6)
    share = uses / loads if late else 1.0
    assert {each["value"] for each in accuracy["windows"].values()} == {round(share, 4)}


def test_time_saved_is_what_loading_took_by_session_and_by_day() -> None:  # 1-43
    metrics = Metrics()
    metrics.on_event(loaded("a", seconds=0.25))
    metrics.hit("a", 10.0)
    metrics.hit("a", 20.0)
    metrics.hit("b", 90_000.0, seconds=1.5)
    metrics.hit("never seen", 90_000.0)
    found = report(metrics, 90_000.0)
    assert found["metrics"]["latency_saved"] == {"day 1": 0.5, "day 2": 1.5}
    assert found["session_summary"]["estimated_time_saved"] == 2.0


def test_a_prefetch_is_used_once_however_often_it_is_hit() -> None:  # 1-42
    metrics = Metrics()
    metrics.on_event(loaded("a"))
    for t in range(5):
        metrics.hit("a", float(t))
    assert (metrics.used, metrics.total, metrics.tokens_used) == (1, 1, 100)
    metrics.on_event(loaded("a"))
    metrics.on_event(loaded("a"))
    assert metrics.tokens_wasted == 100


def test_what_was_demanded_is_no_prefetch_and_what_was_too_large_is_waste() -> None:  # 1-44
    metrics = Metrics()
    metrics.on_event(Fetched(What.LOADED, ("a",), Lane.DEFERRED, 0.0, 100, 0.5))
    assert metrics.total == 0
    metrics.on_event(Fetched(What.OVERSIZE, ("b",), Lane.EAGER, 0.0, 900, 0.5))
    assert (metrics.total, metrics.tokens_wasted) == (1, 900)


# --- windows and alerts


def gauge(told: list[Alert], count: int = 30, seconds: float = 1e9, least: int = 20) -> Gauge:
    return Gauge(
        "hit_rate",
        target=0.7,
        alert=0.5,
        least=least,
        count=count,
        seconds=seconds,
        tell=told.append,
    )


def test_there_is_no_alert_before_there_are_enough_samples() -> None:  # 1-41
    told: list[Alert] = []
    rate = gauge(told)
    for t in range(19):
        rate.add(float(t), good=False)
    assert told == [] and rate.as_json(19.0)["met"] is None
    rate.add(19.0, good=False)
    assert [alert.window for alert in told] == ["latest 30", "latest 1e+09 s"]
    assert rate.alerting and str(told[0]).startswith("hit_rate has fallen to 0% (20 samples")


def test_an_alert_is_told_once_and_once_more_when_it_is_over() -> None:  # 1-41 1-42
    told: list[Alert] = []
    rate = gauge(told, seconds=0.0)
    for t in range(100):
        rate.add(float(t), good=t >= 40)
    assert [(alert.t, alert.over) for alert in told] == [(19.0, False), (54.0, True)]
    assert not rate.alerting


def test_exactly_at_the_alert_there_is_none_and_at_the_target_it_is_not_met() -> None:  # 1-41
    told: list[Alert] = []
    rate = gauge(told, count=20)
    for t in range(20):
        rate.add(float(t), good=t % 2 == 0)
    assert told == []
    rate = gauge(told, count=20)
    for t in range(20):
        rate.add(float(t), good=t < 14)
    assert rate.as_json(20.0)["met"] is False


def test_an_alert_is_over_when_what_is_left_in_its_window_is_good_or_too_little() -> None:  # 1-41
    told: list[Alert] = []
    rate = gauge(told, count=10_000, seconds=900.0)
    for t in range(30):
        rate.add(float(t), good=False)
    assert rate.as_json(29.0)["alerting"] == ["latest 10000", "latest 900 s"]
    assert rate.as_json(5_000.0)["alerting"] == ["latest 10000"]  # by time there is none left
    for t in range(5):
        rate.add(5_000.0 + 100 * t, good=True)
    assert rate.alerting == ("latest 10000",)
    assert [(alert.window, alert.over) for alert in told[2:]] == [("latest 900 s", True)]


def test_old_samples_leave_the_window_of_time() -> None:
    told: list[Alert] = []
    rate = gauge(told, count=10_000, seconds=60.0)
    for t in range(50):
        rate.add(float(t), good=False)
    for t in range(50):
        rate.add(200.0 + t, good=True)
    by_count, by_time = rate.as_json(250.0)["windows"].values()
    assert by_count == {"value": 0.5, "samples": 100} and by_time["value"] == 1.0
    assert {alert.window: alert.over for alert in told}["latest 60 s"]


@given(
    samples=st.lists(st.tuples(st.floats(0, 20), st.booleans()), max_size=60),
    count=st.integers(1, 12),
    seconds=st.floats(0, 50),
)
def test_a_window_holds_the_latest_and_nothing_else(
    samples: list[tuple[float, bool]], count: int, seconds: float
) -> None:
    window, all_of_it, t = Window(count=count, seconds=seconds), [], 0.0
    for step, good in samples:
        t += step
        window.add(t, good)
        all_of_it.append((t, good))
        wanted = [good for at, good in all_of_it if at >= t - seconds][-count:]
        assert len(window) == len(wanted)
        assert window.share == sum(wanted) / len(wanted)


def test_a_session_without_end_takes_bounded_memory() -> None:  # G3
    metrics, rng = Metrics(), random.Random(1)
    for number in range(30_000):
        metrics.on_event(loaded(f"k{number}", float(number)))
        metrics.missed(f"m{number}", float(number))
        if rng.random() < 0.5:
            metrics.hit(f"k{number}", float(number))
    assert all(len(names) <= 10_000 for names in metrics.names.values())
    assert len(metrics._open) <= 10_000 and len(metrics._took) <= 10_000
    assert metrics.used + 10_000 >= metrics.total - metrics.accuracy.all + metrics.used


# --- with a store and an executor


async def test_a_night_of_lore_is_fetched_ahead_used_and_reported() -> None:  # 1-21 1-28 1-45 1-48
    loop = asyncio.get_running_loop()
    metrics, habits = Metrics(), Habits()

    def on_access(access: Access) -> None:
        metrics.on_access(access)
        habits.on_access(access)
        executor.used(access.key)

    async def read(item: Item) -> str:
        await asyncio.sleep(0.03)
        if item.key == "torn":
            raise OSError("the page is torn")
        return item.key * 40

    store = VariantStore(on_access=on_access)
    kinds = Kinds([Kind("page", Priority.EAGER, tokens=50, ms=40, source=each(read))])
    tasks = Tasks(lambda where, error: None)
    timers = LoopTimers(loop, take_in=tasks.take_in)
    executor = Executor(kinds, Shelf(store), tasks, timers, lambda where, error: None)
    executor.listeners.append(metrics.on_event)

    def plan(*keys: str, confidence: float = 0.85) -> None:
        state = State(
            frozenset(key for key in keys if key in Shelf(store)),
            executor.pending,
            unavailable=executor.unavailable,
            accessed=habits.accessed(loop.time()),
            used_today=habits.used_today(loop.time()),
            learned=executor.costs,
        )
        found = schedule([Item(key, "page", confidence) for key in keys], None, state, kinds)
        metrics.on_plan(found)
        executor.take(found)

    plan("mill", "miller", "torn")
    await asyncio.sleep(1)
    assert await store.get("mill") == ["mill" * 40]
    assert await store.get("guard") is None
    plan("stew", confidence=0.7)  # doubtful: in the background, and nobody asks for it
    plan("guard")
    await executor.ready()
    await asyncio.sleep(60)
    assert await store.get("stew") is None
    metrics.close(loop.time())
    found = report(metrics, loop.time())
    assert found["session_summary"]["total_prefetches"] == 4
    assert found["session_summary"]["cache_hits"] == 1
    assert found["session_summary"]["estimated_time_saved"] == 0.03
    top = {name: [each["name"] for each in of] for name, of in found["top_predictions"].items()}
    assert top["accurate"] == ["mill"] and top["missed"] == ["guard"] and top["late"] == ["stew"]
    assert sorted(top["wasted"]) == ["guard", "miller", "stew"]
    assert found["events"]["unavailable"] == 1 and executor.costs["page"].tokens > 40
    await executor.aclose()
    await tasks.aclose()
    await store.aclose()


@pytest.mark.parametrize(
    ("what", "level"),
    [
        (What.TIMED_OUT, "WARNING"),
        (What.FAILED, "ERROR"),
        (What.UNAVAILABLE, "ERROR"),
        (What.MISSING, "ERROR"),
        (What.SKIPPED, "INFO"),
        (What.DROPPED, "INFO"),
        (What.LOADED, "DEBUG"),
    ],
)
def test_each_event_is_logged_at_the_documents_level(
    caplog: pytest.LogCaptureFixture, what: What, level: str
) -> None:  # 1-22 1-23 1-63 1-64 1-66
    caplog.set_level("DEBUG", "foretell")
    logged(logging.getLogger("foretell"))(Fetched(what, ("a", "b"), None, 0.0, why="so it is"))
    (record,) = caplog.records
    assert record.levelname == level
    assert record.getMessage() == f"prefetch: a, b {what.value}: so it is"


async def test_content_too_large_for_the_store_is_given_up_and_reported() -> None:  # G10
    store, faults = VariantStore(Limits(largest=1_024)), []
    shelf = Kept(Shelf(store), lambda where, error: faults.append(str(error)))
    assert not shelf.put(Item("tome", "lore"), "x" * 5_000, 1_250)
    assert shelf.put(Item("note", "lore", turn="t1"), "x", 1) and "note" in shelf
    assert len(faults) == 1 and "'tome' is more than an entry may be" in faults[0]
    shelf.drop("note")
    assert "note" not in shelf
    await store.aclose()


def test_habits_are_of_the_last_minutes_and_of_today() -> None:  # 1-18 1-19
    habits = Habits()
    for t in (0.0, 10.0, 20.0):
        habits.used("mill", t)
    habits.used("stew", 250.0)
    assert habits.accessed(300.0) == {"stew": 50.0, "mill": 280.0}
    assert habits.accessed(330.0) == {"stew": 80.0}
    assert habits.used_today(330.0) == {"mill": 3, "stew": 1}
    assert habits.used_today(86_401.0) == {}
    for number in range(3_000):
        habits.used(f"n{number}", 86_500.0)
    assert len(habits.used_today(86_500.0)) == 1_000 == len(habits.accessed(86_500.0))
