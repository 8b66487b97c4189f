"""The narrator asked for plans: what it plans, and how early the first step can be used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Annotated, Any, Literal

import anthropic
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from foretell.operators.blocks import reading_blocks
from foretell.operators.partials import Final, PartialParser
from foretell.streams.anthropic_model import AnthropicModel
from foretell.streams.clock import run_virtual
from foretell.streams.messages_api import body_of
from foretell.streams.models import (
    Block,
    BlockEnd,
    Delta,
    Message,
    ModelEvent,
    Request,
    Stop,
    Tool,
    Usage,
)
from foretell.streams.narrator.engine import Engine, tokens
from foretell.streams.narrator.model import NarratorModel
from foretell.streams.narrator.profiles import Profile, profile
from foretell.streams.narrator.server import running
from foretell.streams.narrator.structured import answer

INSTANT = profile("instant")
SLOW = Profile("slow", "made for tests", 1e6, 1e6, ttft=1.0, tokens_per_second=50)


class Step(BaseModel):
    model_config = ConfigDict(extra="forbid")

    act: Literal["MoveTo", "Attack", "TakeCover", "Wait"]
    target: Annotated[str, Field(max_length=20)]
    x: Annotated[int, Field(ge=-5, le=20)]
    pace: Annotated[float, Field(gt=0, le=1)] = 0.5
    reason: str = ""


class Plan(BaseModel):
    model_config = ConfigDict(extra="forbid")

    plan_id: str
    steps: Annotated[list[Step], Field(max_length=12)]


class Batch(BaseModel):
    class Each(BaseModel):
        agent: str
        steps: list[Step]

    plans: list[Each]


class Note(BaseModel):
    reason: str


PLAN, BATCH = Plan.model_json_schema(), Batch.model_json_schema()
TOOLS = tuple(
    Tool(name, model.model_json_schema())
    for name, model in (("plan", Plan), ("note", Note), ("other", Plan))
)
FACTS = "What will they do?\nFACTS " + json.dumps(
    {"tellings": [{"actor": "Mira", "target": "Goblin"}, {"actor": "Borin", "target": "Wolf"}]}
)


def asked(tools: tuple[Tool, ...] = TOOLS, text: str = FACTS, **how: Any) -> Request:
    return Request("narrator", (Message("user", text),), tools=tools, **{"max_tokens": 900, **how})


async def timed(
    model: NarratorModel | AnthropicModel, request: Request
) -> list[tuple[float, ModelEvent]]:
    loop = asyncio.get_running_loop()
    async with aclosing(model.stream(request)) as events:
        return [(loop.time(), event) async for event in events]


def narrated(
    request: Request, speed: Profile = SLOW, seed: int = 0
) -> list[tuple[float, ModelEvent]]:
    return run_virtual(timed(NarratorModel(Engine(speed, seed)), request))


def pieces_of(events: Iterable[tuple[float, ModelEvent]]) -> list[tuple[float, str]]:
    return [(at, event.text) for at, event in events if isinstance(event, Delta)]


def inputs_of(events: Iterable[tuple[float, ModelEvent]]) -> dict[str, str]:
    """What came for each tool; a piece outside of its block fails."""
    names: dict[int, str] = {}
    inputs: dict[str, str] = {}
    for _, event in events:
        match event:
            case Block(index=index, kind="tool_use", name=name):
                names[index] = name
                inputs[name] = ""
            case Delta(text=text, kind="json", index=index):
                inputs[names[index]] += text
            case BlockEnd(index=index):
                del names[index]
    assert names == {}
    return inputs


def share_at_first_step(pieces: Iterable[str], *, of_plan: bool = True) -> float:
    """The share of the bytes that had come when the first step could be used."""
    parser, read, first = PartialParser(), 0, 0
    for piece in pieces:
        parser.feed(piece)
        read += len(piece.encode())
        if not first and parser.done(("steps", 0)):
            first = read
            if of_plan:
                Step.model_validate(parser.value["steps"][0])
    finished = parser.finish()
    assert isinstance(finished, Final) and first
    if of_plan:
        Plan.model_validate(finished.value)
    return first / read


# --- what is planned ---


@given(st.integers(0, 10_000), st.text(max_size=20))
def test_a_plan_has_several_steps_that_differ_and_is_valid(seed: int, text: str) -> None:
    plan = Plan.model_validate_json(answer(text, "", seed, PLAN))
    assert 7 <= len(plan.steps) <= 9
    assert {step.act for step in plan.steps} == {"MoveTo", "Attack", "TakeCover", "Wait"}
    for one, following in pairwise(plan.steps):
        assert one.act != following.act
        assert one.target != following.target
        assert one.reason != following.reason


def test_plans_differ_with_seed_and_prompt_and_are_the_same_for_the_same() -> None:
    plans = [answer(text, "", seed, PLAN) for text in ("a", "b") for seed in range(10)]
    assert len(set(plans)) == 20
    assert plans[3] == answer("a", "", 3, PLAN)


@given(st.integers(0, 10_000), st.integers(0, 1500))
def test_a_plan_has_as_many_steps_as_there_is_room_for(seed: int, room: int) -> None:
    text = answer("Plan.", "", seed, PLAN, room=room)
    steps = Plan.model_validate_json(text).steps
    assert len(text) <= max(room, 60)
    assert len(steps) >= (7 if room > 1300 else 4 if room > 700 else 1 if room > 150 else 0)


def test_those_whom_the_facts_name_each_have_a_plan_of_their_own() -> None:
    plans = Batch.model_validate_json(answer(FACTS, "", 0, BATCH)).plans
    assert sorted(plan.agent for plan in plans) == ["Borin", "Goblin", "Mira", "Wolf"]
    assert len({tuple(step.act for step in plan.steps[:4]) for plan in plans}) > 1
    assert len({repr(plan.steps) for plan in plans}) == 4


def test_steps_of_several_kinds_take_turns() -> None:
    kinds = [
        {"type": "object", "properties": {"do": {"const": word}}, "required": ["do"]}
        for word in ("move", "hit")
    ]
    steps = {"type": "array", "items": {"oneOf": kinds}}
    plan = json.loads(answer("x", "", 0, {"type": "object", "properties": {"steps": steps}}))
    assert {step["do"] for step in plan["steps"]} == {"move", "hit"}


# --- several tools, in virtual time ---


def test_the_first_step_can_be_used_before_a_quarter_has_come() -> None:  # 3-17
    for seed in range(20):
        events = narrated(asked(tool_choice="plan"), seed=seed)
        assert share_at_first_step(piece for _, piece in pieces_of(events)) < 0.25


@pytest.mark.parametrize("before", [(), ("agent",), ("agent", "goal"), ("goal", "reason")])
@pytest.mark.parametrize("fields", [("tool", "x", "y"), ("tool", "target", "reason")])
def test_so_can_a_short_step_behind_other_fields(
    before: tuple[str, ...], fields: tuple[str, ...]
) -> None:
    kinds: dict[str, Any] = {each: {"type": "string"} for each in (*before, *fields)}
    kinds |= {"x": {"type": "integer"}, "y": {"type": "integer"}}
    step = {"type": "object", "properties": {each: kinds[each] for each in fields}}
    steps = {"type": "array", "items": {**step, "required": [*fields]}}
    wanted = {**{each: kinds[each] for each in before}, "steps": steps}
    for seed in range(40):
        schema = {"type": "object", "properties": wanted, "required": [*wanted]}
        text = answer(f"Plan {seed}.", "", seed, schema, room=4000)
        assert share_at_first_step([*text], of_plan=False) < 0.25
    schema = {"type": "object", "properties": {**wanted, "steps": {**steps, "maxItems": 2}}}
    assert len(json.loads(answer("Plan.", "", 0, schema, room=4000))["steps"]) == 2


def test_tools_are_called_side_by_side_and_each_has_its_own_input() -> None:
    events = narrated(asked(tool_choice="any"))
    inputs = inputs_of(events)
    assert list(inputs) == ["plan", "note", "other"]
    assert Plan.model_validate_json(inputs["plan"]) != Plan.model_validate_json(inputs["other"])
    assert Note.model_validate_json(inputs["note"]).reason
    assert [e.index for _, e in events if isinstance(e, Delta)][:6] == [0, 1, 2, 0, 1, 2]
    assert len({e.id for _, e in events if isinstance(e, Block)}) == 3
    assert events[-1][1] == Stop("tool_use")


def test_one_tool_is_called_where_only_one_may_be_and_none_where_none_must() -> None:
    alone = asked(tool_choice="any", parallel_tools=False)
    assert list(inputs_of(narrated(alone))) == ["plan"]
    events = [event for _, event in narrated(asked())]
    assert Block(0) in events and events[-1] == Stop("end_turn")


@given(st.integers(1, 400))
def test_several_calls_share_max_tokens(most: int) -> None:
    events = narrated(asked(tool_choice="any", max_tokens=most), INSTANT)
    inputs, (usage, stop) = inputs_of(events), (event for _, event in events[-2:])
    written = tokens(sum(map(len, inputs.values())))  # ints
    assert isinstance(usage, Usage) and usage.output == written <= most
    whole = all(isinstance(_finished(text), Final) for text in inputs.values())
    assert stop == Stop("tool_use" if whole and len(inputs) == 3 else "max_tokens")


def _finished(text: str) -> Any:
    parser = PartialParser()
    parser.feed(text)
    return parser.finish()


@pytest.mark.parametrize(("choice", "most"), [("plan", 100), ("plan", 150), ("any", 300)])
def test_a_plan_that_is_asked_for_with_few_tokens_is_shorter_and_whole(
    choice: str, most: int
) -> None:
    events = narrated(asked(tool_choice=choice, max_tokens=most))
    assert events[-1][1] == Stop("tool_use")
    assert 1 <= len(Plan.model_validate_json(inputs_of(events)["plan"]).steps) < 7


def test_the_input_of_a_tool_that_is_not_eager_is_held_back_until_it_is_whole() -> None:
    held = tuple(replace(tool, eager=False) for tool in TOOLS)
    events = narrated(asked(held, tool_choice="plan"))
    [(at, text)] = pieces_of(events)
    Plan.model_validate_json(text)
    begun, ended = ((t, e) for t, e in events if isinstance(e, (Block, BlockEnd)))
    assert begun[0] == pytest.approx(1.0, abs=0.01) and at > 3.0
    assert at == ended[0]


async def test_blocks_of_the_narrator_are_read_apart() -> None:
    texts = {}
    model = NarratorModel(Engine(SLOW))
    async with reading_blocks(model.stream(asked(tool_choice="any"))) as found:
        async for block in found:
            texts[block.name] = "".join([piece async for piece in block.texts()])
    assert texts == inputs_of(await timed(model, asked(tool_choice="any")))


# --- over real HTTP ---


@asynccontextmanager
async def narrating() -> AsyncGenerator[str]:
    async with running(INSTANT, engine=Engine(INSTANT)) as url:
        yield url


@pytest.mark.real_time
async def test_over_http_too_the_first_step_can_be_used_before_a_quarter_has_come() -> None:
    async with narrating() as url, aclosing(AnthropicModel(url)) as model:
        events = await timed(model, asked(tool_choice="plan"))
    assert share_at_first_step(piece for _, piece in pieces_of(events)) < 0.25


@pytest.mark.real_time
async def test_the_bare_sdk_sees_the_same_plan_as_early() -> None:
    body = body_of(asked(tool_choice="plan"))
    async with (
        narrating() as url,
        httpx2.AsyncClient(trust_env=False) as http,
        anthropic.AsyncAnthropic(
            base_url=url, api_key="any", max_retries=0, http_client=http
        ) as sdk,
        await sdk.messages.create(**body, stream=True) as stream,
    ):
        deltas = [event.delta async for event in stream if event.type == "content_block_delta"]
    pieces = [delta.partial_json for delta in deltas if delta.type == "input_json_delta"]
    assert share_at_first_step(pieces) < 0.25


@pytest.mark.real_time
async def test_over_http_interleaved_calls_are_those_of_the_narrator_in_process() -> None:
    request = asked(tool_choice="any")
    async with narrating() as url, aclosing(AnthropicModel(url)) as model:
        events = await timed(model, request)
    in_process = await timed(NarratorModel(Engine(INSTANT)), request)
    assert [event for _, event in events] == [event for _, event in in_process]


@pytest.mark.real_time
async def test_the_sdks_own_helper_puts_interleaved_calls_together() -> None:
    body = body_of(asked(tool_choice="any"))
    async with (
        narrating() as url,
        httpx2.AsyncClient(trust_env=False) as http,
        anthropic.AsyncAnthropic(
            base_url=url, api_key="any", max_retries=0, http_client=http
        ) as sdk,
    ):
        async with sdk.messages.stream(**body) as stream:
            streamed = await stream.get_final_message()
        whole = await sdk.messages.create(**body)
    assert [block.type for block in streamed.content] == ["tool_use"] * 3
    assert [block.input for block in streamed.content if block.type == "tool_use"] == [
        block.input for block in whole.content if block.type == "tool_use"
    ]
    assert len({block.id for block in streamed.content if block.type == "tool_use"}) == 3


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tools": [{"name": "a", "input_schema": {}}] * 2}, "tools: Tool names must be unique"),
        (
            {"tools": [{"name": "a", "input_schema": {}, "eager_input_streaming": 1}]},
            "tools.0.eager_input_streaming",
        ),
        (
            {"tool_choice": {"type": "any", "disable_parallel_tool_use": "yes"}},
            "tool_choice.disable_parallel_tool_use",
        ),
    ],
)
async def test_malformed_tools_are_a_400_that_names_the_field(
    change: dict[str, Any], said: str
) -> None:
    async with narrating() as url, httpx2.AsyncClient(base_url=url, trust_env=False) as http:
        refused = await http.post("/v1/messages", json=body_of(asked()) | change)
    assert refused.status_code == 400
    assert said in refused.json()["error"]["message"]
