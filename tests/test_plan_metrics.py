"""What a monitor reads of plans and tellings, and that nobody pays for it who does not ask."""

from __future__ import annotations

import asyncio
import gc
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import foretell
from foretell.errors import ConfigError
from foretell.sinks.plan_metrics import BUCKETS, LIVE, Histogram, PlanMetrics
from foretell.streams import parts
from foretell.streams.anthropic_model import AnthropicModel
from foretell.streams.models import ModelCut, ModelOverloaded, ModelUnavailable
from foretell.testing import Script, ScriptedModel, run_virtual

SNAPSHOT: dict[str, Any] = {
    "me": {"side": "foes", "pos": [3, 4], "hp": 9, "max_hp": 12, "ammo": 2},
    "others": {"mira": {"side": "party", "pos": [9, 4], "hp": 20, "max_hp": 21}},
}
STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 21},
        "grik": {"name": "Grik", "side": "foes", "hp": 9, "max_hp": 12},
    },
}
STEPS = {"steps": [{"do": "Attack", "target": "mira"}, {"do": "Fly"}, {"do": "Scan"}]}
TELLING = {"text": "The blade bites, and {target} gives ground.", "lines": [], "cues": []}


def test_no_extra_is_imported_with_foretell() -> None:
    code = (
        "import sys, foretell; foretell.Game; foretell.Session; foretell.collector;"
        "bad = {'prometheus_client', 'opentelemetry'} & {m.split('.')[0] for m in sys.modules};"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_without_the_client_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    async def ask() -> None:
        async with foretell.Game(model=ScriptedModel()) as game:
            with pytest.raises(ConfigError, match=r"foretell\[metrics\]"):
                foretell.collector(game)
            assert game.metrics is None

    run_virtual(ask())


@given(st.lists(st.floats(0, 100)))
def test_a_histogram_counts_each_value_once_in_its_place(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    assert sum(histogram.counts) == len(values)
    assert histogram.sum == pytest.approx(math.fsum(values))
    below = 0
    for bound, count in zip(BUCKETS, histogram.counts, strict=False):
        below += count
        assert below == len([each for each in values if each <= bound])


def test_what_is_timed_is_heard_by_who_watches_and_raises_all_the_same() -> None:
    heard: list[tuple[str, float]] = []
    times = iter([1.0, 3.0, 10.0, 10.5])

    @parts.timed("half")
    def halved(n: int, *, by: int = 2) -> float:
        return n / by

    assert halved(4) == 2.0  # nobody watches, and no clock is asked
    end = parts.watch(lambda: next(times), lambda part, seconds: heard.append((part, seconds)))
    assert halved(4, by=4) == 1.0
    with pytest.raises(ZeroDivisionError):
        halved(4, by=0)
    end()
    assert halved(4) == 2.0
    assert heard == [("half", 2.0), ("half", 0.5)]


class Evening:
    """A game that is measured, with a server that does what it is told."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.model = ScriptedModel(self._answer)

    def _answer(self, request: Any, number: int) -> Script:
        if request.purpose != "plan":
            return Script(TELLING)
        return self.scripts.pop(0) if self.scripts else Script(STEPS, ttft=0.7)

    async def play(self, agents: int = 1, **plans: Any) -> PlanMetrics:
        pytest.importorskip("prometheus_client", reason="it is not installed: foretell[metrics]")
        settings = {"plans": plans, "intensity": "off"}
        async with foretell.Game(settings, model=self.model) as game:
            first = await game.session("table-7")
            collector = foretell.collector(game)
            assert foretell.collector(game)._metrics is collector._metrics
            second = await game.session("table-8")
            for session in (first, second):
                session.update(STATE)
                asks = (session.plan(f"a{n}", SNAPSHOT, goal=f"{n}") for n in range(agents))
                await asyncio.gather(*asks)
                await session.outcome("mira", "longsword", "hit", target="grik", damage=1)
            assert game.metrics is not None
            return game.metrics


async def test_the_time_of_a_plan_is_told_by_its_parts() -> None:  # 3-41, 3-47
    metrics = await Evening().play()
    seconds = metrics.seconds
    counts = {part: sum(each.counts) for part, each in seconds.items()}
    assert counts.pop("parse") >= 2 and counts.pop("build") == 4
    assert counts == dict.fromkeys(("queue", "ttft", "first", "model", "total", "told"), 2)
    assert seconds["ttft"].sum == pytest.approx(1.4) and seconds["queue"].sum == 0.0
    assert seconds["first"].sum == 0.0  # by rules
    assert seconds["ttft"].sum < seconds["model"].sum < seconds["total"].sum
    assert seconds["told"].sum == pytest.approx(1.0, abs=0.5)
    assert seconds["build"].sum > 0.0 < seconds["parse"].sum  # the processor's, by a real clock


async def test_who_waits_for_a_place_is_seen_in_the_queue() -> None:
    metrics = await Evening().play(agents=2, streams=1, batch_size=1)
    queue = metrics.seconds["queue"]
    assert sum(queue.counts) == 4 and queue.counts[0] == 2 and queue.sum > 1.0


async def test_who_is_asked_about_with_others_waits_no_longer_and_who_wants_the_same_neither() -> (
    None
):
    pytest.importorskip("prometheus_client", reason="it is not installed: foretell[metrics]")
    async with foretell.Game(model=ScriptedModel(Script(STEPS, ttft=1.0))) as game:
        session = await game.session("table-7")
        foretell.collector(game)
        for n in range(4):
            session.queue_agent(f"a{n}", SNAPSHOT, goal=f"{n}")
        await asyncio.sleep(0.5)
        await session.plan("b", SNAPSHOT, goal="0")
        assert game.metrics is not None
        queue = game.metrics.seconds["queue"]
        assert sum(queue.counts) == 5 and queue.sum == pytest.approx(4 * 0.005)
        assert game.metrics.hits == {("in_flight",): 1}


async def test_how_plans_end_and_what_was_wrong_is_counted() -> None:  # 3-41
    busy, cut = Script(error=ModelOverloaded("529"), ttft=0.1), ModelCut("cut")
    evening = Evening(busy, Script(STEPS), Script(STEPS, error=cut, chunks=0))
    metrics = await evening.play()
    assert metrics.plans == {("simplified", "done"): 1, ("compact", "done"): 1}
    assert metrics.steps == {("valid",): 4, ("unknown_tool",): 2}
    assert metrics.falls == {
        ("simplified", "simplified", "overloaded"): 1, ("simplified", "compact", "cut"): 1,
    }  # fmt: skip
    assert metrics.failed == {("plan", "overloaded"): 1, ("plan", "cut"): 1}
    assert metrics.served == {("miss",): 2}
    assert metrics.tokens["plan", "output"] > 0 < metrics.tokens["foreground", "input"]


async def test_what_is_closed_before_its_end_is_counted_with_its_reason() -> None:  # 3-41
    pytest.importorskip("prometheus_client", reason="it is not installed: foretell[metrics]")
    async with foretell.Game(model=ScriptedModel(Script(STEPS, hangs=True))) as game:
        session = await game.session("table-7")
        foretell.collector(game)
        planning = session.plan("grik", SNAPSHOT)
        await asyncio.sleep(1)
        planning.cancel()
        await asyncio.sleep(1)
        assert game.metrics is not None
        assert game.metrics.closed == {("plan", "superseded"): 1}
        assert game.metrics.plans == {("heuristic", "cancelled"): 1}


async def test_nothing_is_counted_for_who_does_not_ask() -> None:
    async with foretell.Game(model=ScriptedModel(Script(STEPS))) as game:
        session = await game.session("table-7")
        await session.plan("grik", SNAPSHOT)
        assert game.metrics is None
        assert parts._watching == ()


async def test_the_text_that_is_scraped_can_be_parsed_and_adds_up() -> None:
    client = pytest.importorskip("prometheus_client", reason="foretell[metrics]")
    parser = pytest.importorskip("prometheus_client.parser", reason="foretell[metrics]")
    model = ScriptedModel(
        lambda request, number: (
            Script(error=ModelUnavailable("gone"), ttft=0.1) if number > 2 else Script(STEPS)
        )
    )
    settings = {"plans": {"retries": 0}}
    async with foretell.Game(settings, model=model) as game:
        session = await game.session("table-7")
        registry = client.CollectorRegistry()
        registry.register(foretell.collector(game))

        def scraped() -> dict[tuple[str, ...], float]:
            text = client.generate_latest(registry).decode()
            return {
                (sample.name, *sorted(sample.labels.values())): sample.value
                for family in parser.text_string_to_metric_families(text)
                for sample in family.samples
            }

        before = scraped()
        assert before["foretell_circuit", "a model", "closed"] == 1.0
        assert before["foretell_plan_seconds_count", "total"] == 0.0
        for n in range(8):
            await session.plan(f"a{n}", SNAPSHOT)
        found = scraped()
        assert found["foretell_plans_total", "done", "simplified"] == 2.0
        assert found["foretell_plans_total", "heuristic", "heuristic"] == 6.0
        assert found["foretell_plan_seconds_count", "total"] == 8.0
        assert found["foretell_plan_seconds_bucket", "+Inf", "total"] == 8.0
        assert found["foretell_plan_steps_total", "valid"] == 4.0
        assert found["foretell_circuit", "a model", "open"] == 1.0
        assert found["foretell_circuit", "a model", "closed"] == 0.0
        assert before.keys() <= found.keys()


async def test_of_a_server_no_more_is_shown_than_where_it_is() -> None:
    pytest.importorskip("prometheus_client", reason="it is not installed: foretell[metrics]")
    url = "http://mira:sesame@127.0.0.1:9/hidden/path?key=sesame"
    for model, shown in ((AnthropicModel(url, "sesame"), "http://127.0.0.1:9"), (None, "a model")):
        game = foretell.Game(model=model or ScriptedModel())
        collector = foretell.collector(game)
        assert collector._circuits() == {}
        game.gate()
        assert collector._circuits() == {shown: "closed"}


def test_a_game_that_is_gone_is_watched_no_more() -> None:
    pytest.importorskip("prometheus_client", reason="it is not installed: foretell[metrics]")

    async def evening() -> None:
        async with foretell.Game(model=ScriptedModel(Script(STEPS))) as game:
            session = await game.session("table-7")
            foretell.collector(game)
            assert len(parts._watching) == 1
            await session.plan("grik", SNAPSHOT)

    run_virtual(evening())
    gc.collect()
    assert parts._watching == ()


def test_of_a_session_without_end_no_more_is_held_than_is_under_way() -> None:
    metrics = PlanMetrics()
    heard = metrics.session()
    for n in range(3 * LIVE):
        heard["~agent"](0.0, {"what": "asked", "plan": f"p{n}"})
        heard["~generation"](1.0, {"generation": f"g{n}", "purpose": "plan", "plan": f"p{n}x"})
    session: Any = heard["~agent"].__self__  # type: ignore[attr-defined]
    assert len(session._asked) == len(session._streams) == LIVE


def test_measuring_changes_nothing_of_a_session() -> None:  # G9
    pytest.importorskip("prometheus_client", reason="it is not installed: foretell[metrics]")

    async def evening(measured: bool) -> str:
        async with foretell.Game(model=ScriptedModel(Script(STEPS))) as game:
            session = await game.session("table-7")
            if measured:
                foretell.collector(game)
            session.update(STATE)
            await session.plan("grik", SNAPSHOT)
            return session._pipeline.recorder.trace_sha256

    assert run_virtual(evening(measured=True)) == run_virtual(evening(measured=False))
