"""Spans of requests to models: what stands in them, and what stands within them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import foretell
from foretell.errors import ConfigError
from foretell.streams.anthropic_model import AnthropicModel
from foretell.streams.models import ModelEvent, ModelUnavailable, Request
from foretell.testing import Script, ScriptedModel

trace = pytest.importorskip("opentelemetry.sdk.trace", reason="the OpenTelemetry SDK is not here")
memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
export = pytest.importorskip("opentelemetry.sdk.trace.export")

SNAPSHOT: dict[str, Any] = {"me": {"side": "foes"}, "others": {"mira": {"side": "party"}}}
OTHER: dict[str, Any] = {"me": {"side": "party"}, "others": {}}
STEPS = {"steps": [{"do": "Scan"}, {"do": "Wait"}]}


class Instrumented:
    """A model whose client reports spans of its own, as an instrumented SDK does."""

    def __init__(self, model: Any, tracer: Any) -> None:
        self.model, self.tracer = model, tracer

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        self.tracer.start_span("POST /v1/messages").end()
        async for event in self.model.stream(request):
            yield event

    async def aclose(self) -> None:
        pass


def traced() -> tuple[Any, Any]:
    exporter, provider = memory.InMemorySpanExporter(), trace.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    return provider.get_tracer("test"), exporter


async def test_a_plan_is_a_span_within_which_those_of_the_sdk_stand() -> None:  # 3-41
    tracer, exporter = traced()
    model = Instrumented(ScriptedModel(Script(STEPS)), tracer)
    async with foretell.Game(model=model, tracer=tracer) as game:
        session = await game.session("table-7")
        await asyncio.gather(session.plan("grik", SNAPSHOT), session.plan("snag", OTHER))
    spans = exporter.get_finished_spans()
    plans = [each for each in spans if each.name == "foretell plan"]
    posts = [each for each in spans if each.name == "POST /v1/messages"]
    assert len(plans) == len(posts) == 2
    assert {each.parent.span_id for each in posts} == {each.context.span_id for each in plans}
    for plan in plans:
        assert plan.parent is None
        assert [event.name for event in plan.events] == ["first token"]
        assert plan.attributes["foretell.purpose"] == "plan"
        assert plan.attributes["gen_ai.request.model"] == game.settings.main_model
        assert plan.attributes["gen_ai.usage.output_tokens"] > 1
        assert list(plan.attributes["gen_ai.response.finish_reasons"]) == ["end_turn"]
        assert plan.status.is_ok
        assert "Scan" not in str(plan.attributes) + str(plan.events)  # no text of anybody's


async def test_what_fails_has_its_error_and_what_is_closed_has_none() -> None:
    tracer, exporter = traced()
    scripts = [Script(error=ModelUnavailable("gone")), Script(STEPS, hangs=True)]
    model = ScriptedModel(scripts)
    async with foretell.Game({"plans": {"deadline": 2.0}}, model=model, tracer=tracer) as game:
        session = await game.session("table-7")
        await session.plan("grik", SNAPSHOT)
    failed, closed = exporter.get_finished_spans()
    assert not failed.status.is_ok and "gone" in failed.status.description
    assert closed.attributes["foretell.closed"] is True and closed.status.is_ok
    assert [event.name for event in closed.events] == []


async def test_a_traced_game_is_at_the_same_gate_as_one_that_is_not() -> None:
    tracer, _ = traced()
    url, own = "http://127.0.0.1:9", ScriptedModel()
    for model in (AnthropicModel(url, "one"), own):
        games = [foretell.Game(model=model, tracer=each) for each in (None, tracer)]
        assert games[0].gate() is games[1].gate()
        assert games[1].model.endpoint == getattr(model, "endpoint", None)  # type: ignore[attr-defined]


async def test_what_is_no_tracer_is_refused_in_a_line() -> None:
    with pytest.raises(ConfigError, match="tracer must be one of OpenTelemetry, not 3"):
        foretell.Game(model=ScriptedModel(), tracer=3)
