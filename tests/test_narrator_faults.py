"""What goes wrong with the narrator on purpose: the same in process and over real HTTP."""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager, nullcontext
from typing import Any

import anthropic
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

import foretell
from foretell.cli import main
from foretell.config import Settings
from foretell.operators.narration import Narration
from foretell.operators.predict import Intensity
from foretell.streams.anthropic_model import AnthropicModel
from foretell.streams.clock import VirtualLoop, run_virtual
from foretell.streams.messages_api import body_of
from foretell.streams.models import (
    Block,
    Delta,
    Message,
    Model,
    ModelError,
    ModelEvent,
    ModelOverloaded,
    Request,
    Stop,
    Tool,
    Usage,
)
from foretell.streams.narrator.engine import Engine, tokens
from foretell.streams.narrator.faults import Fault, Faults, Kind, torn
from foretell.streams.narrator.model import NarratorModel
from foretell.streams.narrator.profiles import PROFILES, Profile, profile
from foretell.streams.narrator.server import running
from foretell.testing import guarantees

INSTANT = profile("instant")
STEADY = Profile("steady", "made for tests", math.inf, math.inf, ttft=1.0, tokens_per_second=20)
FACTS = "Tell it.\nFACTS " + json.dumps(
    {"tellings": [{"actor": "Mira", "target": "Goblin", "result": "hit", "values": {"damage": 9}}]}
)
SCHEMA = Narration.model_json_schema()


def asked(fault: str | None = None, schema: Any = SCHEMA) -> Request:
    """A request that asks for a fault where its metadata say so."""
    extra = {} if fault is None else {"metadata": {"narrator_fault": fault}}
    return Request("narrator", (Message("user", FACTS),), schema=schema, extra=extra)


async def read(
    model: Model, request: Request
) -> tuple[list[tuple[float, ModelEvent]], ModelError | None]:
    """The answer's events, each at its time, and how it failed."""
    loop, events = asyncio.get_running_loop(), []
    begun = loop.time()
    try:
        async with aclosing(model.stream(request)) as stream:
            async for event in stream:
                events.append((loop.time() - begun, event))  # noqa: PERF401 - kept on an error
    except ModelError as error:
        return events, error
    return events, None


def of(
    fault: str | None, speed: Profile = STEADY, request: Request | None = None
) -> tuple[list[tuple[float, ModelEvent]], ModelError | None]:
    """The same in virtual time."""
    return run_virtual(read(NarratorModel(Engine(speed)), request or asked(fault)))


def text_of(events: list[tuple[float, ModelEvent]]) -> str:
    return "".join(event.text for _, event in events if isinstance(event, Delta))


WHOLE = text_of(of(None)[0])


# How it is asked for.


def test_a_fault_is_read_and_written_in_the_same_words() -> None:
    for text in ("429=2", "500", "529", "slow=8", "stall=5@0.3", "stall=inf", "cut@0.5", "none"):
        assert str(Fault.parse(text)) == text
    assert Fault.parse("stall") == Fault(Kind.STALL, math.inf)
    short, long = Faults.parse("500:.1,stall=5.@.5:.2"), Faults.parse("500:0.1,stall=5@0.5:0.2")
    assert short == long
    assert Faults.parse("prose:1e-3,429:5E-02") == Faults.parse("prose:.001,429:.05")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no fault ''"),
        ("explode", "no fault 'explode'.*one of none, 429, 500"),
        ("cut=3", "cut takes no seconds"),
        ("empty@0.5", "empty takes no share"),
        ("cut@1.5", "1.5 is not a share"),
        ("cut@-1", "no fault"),
        ("stall=nan", "no fault"),
        ("slow=1e9", "no fault"),
        ("slow=100000", "too many"),
        ("429=inf", "too many"),
        ("slow=inf", "too many"),
        ("cut@0.5;rm", "no fault"),
    ],
)
def test_what_is_no_fault_is_refused_and_says_what_there_is(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Fault.parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no fault is named"),
        ("429", "with a rate"),
        ("429:2", "with a rate"),
        ("429:.", "with a rate"),
        ("429:1e1", "with a rate"),
        ("429:1e", "with a rate"),
        ("429:0.6,cut:0.6", "come to 1.2"),
        ("429:0.1,boom:0.1", "no fault 'boom'"),
    ],
)
def test_rates_that_make_no_sense_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Faults.parse(text)


def test_faults_come_as_often_as_asked_and_are_the_same_for_the_same_seed_and_number() -> None:
    faults = Faults.parse("429=2:0.1, stall:0.05 ,cut:0.02")
    drawn = [faults.of(7, number) for number in range(5000)]
    assert drawn == [faults.of(7, number) for number in range(5000)]
    assert drawn != [faults.of(8, number) for number in range(5000)]
    often = Counter(fault.kind if fault else Kind.NONE for fault in drawn)
    assert often[Kind.LIMITED] == pytest.approx(500, rel=0.2)
    assert often[Kind.STALL] == pytest.approx(250, rel=0.3)
    assert often[Kind.CUT] == pytest.approx(100, rel=0.4)
    shares = [fault.share or 0.0 for fault in drawn if fault and fault.kind is Kind.CUT]
    assert min(shares) < 0.1
    assert max(shares) > 0.9


def test_one_request_may_ask_for_a_fault_or_be_spared() -> None:
    faults = Faults.parse("500:1")
    assert faults.of(0, 1, Fault.parse("cut@0.5")) == Fault(Kind.CUT, 0.0, 0.5)
    assert faults.of(0, 1, Fault.parse("none")) is None


@given(st.floats(0, 1), st.integers(0, 50))
def test_what_is_torn_is_no_json(share: float, seed: int) -> None:
    text = torn(json.dumps({"text": f'a "b" {seed}\\', "lines": [1, {"a": None}]}), share)
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)


def test_the_command_line_says_in_one_line_what_is_no_fault(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["narrator", "--faults", "429:0.1,boom:0.2"]) == 2
    assert re.fullmatch(r"foretell: error: no fault 'boom': use KIND.*\n", capsys.readouterr().err)
    with pytest.raises(SystemExit):
        main(["narrator", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert all(kind in said for kind in Kind if kind is not Kind.NONE)
    assert "x-narrator-fault" in said


# What it does, in virtual time.


def test_a_refused_request_says_when_to_come_again() -> None:
    events, error = of("429=2.5")
    assert events == []
    assert isinstance(error, ModelOverloaded)
    assert error.retry_after == 3.0


def test_a_slow_start_is_so_much_later_and_otherwise_the_same() -> None:
    usual, slow = of(None)[0], of("slow=8")[0]
    assert [e for _, e in slow] == [e for _, e in usual]
    assert slow[0][0] == pytest.approx(usual[0][0] + 8)


def test_a_stall_is_a_silence_in_mid_stream_and_then_it_goes_on() -> None:
    usual, stalled = of(None)[0], of("stall=5@0.5")[0]
    assert [e for _, e in stalled] == [e for _, e in usual]
    later = [b - a for (a, _), (b, _) in zip(usual, stalled, strict=True)]
    assert {round(each, 6) for each in later} == {0.0, 5.0}
    assert later.index(max(later)) == pytest.approx(len(later) / 2, abs=2)


def test_a_stall_for_ever_ends_with_the_readers_patience() -> None:
    events, error = of("stall@0.5")
    assert error is not None
    assert error.kind == "cut"
    assert 0.4 < len(text_of(events)) / len(WHOLE) < 0.6
    assert of("stall@0")[1].kind == "unavailable"  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["cut", "error", "garbled"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_stream_breaks_off_after_its_share(kind: str, share: float) -> None:
    events, error = of(f"{kind}@{share}")
    said = text_of(events)
    assert WHOLE.startswith(said)
    assert len(said) / len(WHOLE) == pytest.approx(share, abs=0.05)
    early = {"cut": "unavailable", "error": "overloaded", "garbled": "protocol"}
    assert error is not None
    assert error.kind == ("cut" if share else early[kind])
    assert not any(isinstance(event, Stop) for _, event in events)


def test_torn_text_comes_whole_and_is_no_json() -> None:
    events, error = of("torn@0.5")
    assert error is None
    assert isinstance(events[-1][1], Stop)
    with pytest.raises(json.JSONDecodeError):
        json.loads(text_of(events))


def test_prose_comes_where_json_was_asked_for() -> None:
    said = text_of(of("prose")[0])
    assert "9 damage" in said
    assert "{" not in said


def test_a_refusal_stops_early_and_says_so() -> None:
    events, error = of("refusal@0.4")
    said = text_of(events)
    assert error is None
    assert events[-1][1] == Stop("refusal", "The narrator was asked to refuse.")
    assert 0.3 < len(said) / len(WHOLE) < 0.5
    usage = events[-2][1]
    assert isinstance(usage, Usage)
    assert usage.output == tokens(len(said))
    assert not any(isinstance(event, (Block, Delta)) for _, event in of("refusal@0")[0])


def test_an_account_tells_faults_from_what_clients_did() -> None:
    engine = Engine(STEADY)
    model = NarratorModel(engine)

    async def all_of_them() -> None:
        for fault in ("none", "429", "cut@0.5", "error@0.5", "empty", "refusal@0.5", "stall=99@0"):
            await read(model, asked(fault))

    run_virtual(all_of_them())
    assert [(a.fault, a.ended) for a in engine.accounts] == [
        (None, "finished"),
        ("429=2", "refused"),
        ("cut@0.5", "broken"),
        ("error@0.5", "broken"),
        ("empty", "broken"),
        ("refusal@0.5", "finished"),
        ("stall=99@0", "cancelled"),
    ]
    totals = engine.totals
    assert (totals.finished, totals.refused, totals.broken, totals.cancelled) == (2, 1, 3, 1)
    assert not engine.open


def test_a_stalled_stream_that_is_closed_frees_its_slot() -> None:  # G4
    one = Profile("one", "made for tests", math.inf, math.inf, 0.1, 1e6, slots=1)
    engine = Engine(one)
    model = NarratorModel(engine)

    async def leave_and_ask_again() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await read(model, asked("stall@0.1"))
        return (await read(model, asked("none")))[0][0][0]

    assert run_virtual(leave_and_ask_again()) == pytest.approx(0.1)
    assert [a.ended for a in engine.accounts] == ["cancelled", "finished"]


# Over real HTTP.


@asynccontextmanager
async def doors(
    speed: Profile = INSTANT, faults: Faults | None = None, patience: float = 0.2
) -> AsyncGenerator[tuple[AnthropicModel, NarratorModel, str, Engine]]:
    """The door to a narrator behind HTTP, and one to its twin in this process."""
    engine, twin = (Engine(speed, faults=faults or Faults()) for _ in range(2))
    async with (
        running(speed, engine=engine) as url,
        aclosing(AnthropicModel(url, timeout=patience)) as door,
    ):
        yield door, NarratorModel(twin, patience), url, engine


ALL = [
    "none", "429=3", "500", "529", "slow=0.1", "slow=9", "stall=0.1@0.5", "stall@0", "stall@0.5",
    "stall@1", "cut@0", "cut@0.5", "cut@1", "error@0", "error@0.5", "error@1", "torn@0.5",
    "garbled@0", "garbled@0.5", "garbled@1", "prose", "empty", "refusal@0", "refusal@0.5",
]  # fmt: skip


@pytest.mark.real_time
@pytest.mark.parametrize("fault", ALL)
async def test_each_fault_is_the_same_over_http_as_in_process(fault: str) -> None:
    async with doors() as (door, twin, _, engine):
        over_http, error = await read(door, asked(fault))
        in_process, same = await read(twin, asked(fault))
        again, _ = await read(door, asked("none"))
    assert [e for _, e in over_http] == [e for _, e in in_process]
    assert type(error) is type(same)
    assert getattr(error, "retry_after", None) == getattr(same, "retry_after", None)
    assert text_of(again) == WHOLE  # nothing is left of it
    if not fault.startswith("garbled"):  # there the reader leaves, and may be too late
        assert engine.accounts[0].ended == twin.engine.accounts[0].ended
    assert not engine.open


@pytest.mark.real_time
async def test_tools_too_break_off_alike() -> None:
    tool = Tool("tell", SCHEMA)
    async with doors() as (door, twin, _, _):
        for fault in ("torn@0.5", "cut@0.5", "garbled@0.3", "prose", "refusal@0.5"):
            extra = {"metadata": {"narrator_fault": fault}}
            request = Request(
                "narrator", (Message("user", FACTS),), tools=(tool,), tool_choice="tell",
                extra=extra,
            )  # fmt: skip
            one, other = await read(door, request), await read(twin, request)
            assert [e for _, e in one[0]] == [e for _, e in other[0]]
            assert type(one[1]) is type(other[1])


@pytest.mark.real_time
async def test_faults_by_rate_strike_the_same_requests_over_http_as_in_process() -> None:
    faults = Faults.parse("429:0.2,cut:0.2,torn:0.1,refusal:0.1,error:0.1")
    async with doors(faults=faults) as (door, twin, _, engine):
        for _ in range(30):
            one, other = await read(door, asked()), await read(twin, asked())
            assert [e for _, e in one[0]] == [e for _, e in other[0]]
            assert type(one[1]) is type(other[1])
    assert [a.fault for a in engine.accounts] == [a.fault for a in twin.engine.accounts]
    assert len({a.ended for a in engine.accounts}) == 3


@asynccontextmanager
async def plainly() -> AsyncGenerator[tuple[httpx2.AsyncClient, anthropic.AsyncAnthropic]]:
    async with (
        running(INSTANT) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as http,
        httpx2.AsyncClient(trust_env=False) as below,
        anthropic.AsyncAnthropic(
            base_url=url, api_key="any", max_retries=0, http_client=below
        ) as sdk,
    ):
        yield http, sdk


BODY = body_of(asked())
ASKED: list[Any] = BODY["messages"]


@pytest.mark.real_time
async def test_a_header_asks_for_a_fault_and_it_has_the_shape_of_the_api() -> None:
    async with plainly() as (http, _):
        for fault, status, kind, after in (
            ("429=7", 429, "rate_limit_error", "7"),
            ("500", 500, "api_error", None),
            ("529", 529, "overloaded_error", None),
        ):
            headers = {"x-narrator-fault": fault}
            answer = await http.post("/v1/messages", json=BODY, headers=headers)
            assert answer.status_code == status
            assert answer.headers.get("retry-after") == after
            said = answer.json()
            assert (said["type"], said["error"]["type"]) == ("error", kind)
            assert said["request_id"] == answer.headers["request-id"]
        streaming = BODY | {"stream": True}
        headers = {"x-narrator-fault": "error@0.5"}
        answer = await http.post("/v1/messages", json=streaming, headers=headers)
        assert answer.status_code == 200
        last = answer.text.strip().split("\n\n")[-1]
        assert last.startswith("event: error\ndata: ")
        assert json.loads(last.split("data: ")[1])["error"] == {
            "type": "overloaded_error",
            "message": "Overloaded",
        }
        wrong = await http.post("/v1/messages", json=BODY, headers={"x-narrator-fault": "boom"})
    assert wrong.status_code == 400
    assert "no fault 'boom': use KIND[=SECONDS][@SHARE]" in wrong.json()["error"]["message"]


@pytest.mark.real_time
async def test_the_sdk_reads_a_refusal_as_the_api_sends_it() -> None:
    async with plainly() as (_, sdk):
        headers = {"x-narrator-fault": "refusal@0"}
        whole = await sdk.messages.create(**BODY, extra_headers=headers)
        async with sdk.messages.stream(**BODY, extra_headers=headers) as stream:
            streamed = await stream.get_final_message()
    for message in (whole, streamed):
        assert (message.content, message.stop_reason) == ([], "refusal")
        assert message.stop_details is not None
        assert message.stop_details.explanation == "The narrator was asked to refuse."
        TypeAdapter(type(message)).validate_python(message.model_dump())


@pytest.mark.real_time
async def test_whole_answers_go_wrong_as_well() -> None:
    async with plainly() as (http, _):

        async def post(fault: str) -> httpx2.Response:
            return await http.post("/v1/messages", json=BODY, headers={"x-narrator-fault": fault})

        with pytest.raises(httpx2.RemoteProtocolError):
            await post("cut@0.5")
        assert (await post("error@0.5")).status_code == 529
        assert (await post("empty")).content == b""
        with pytest.raises(UnicodeDecodeError):
            (await post("garbled")).content.decode()
        with pytest.raises(json.JSONDecodeError):
            json.loads((await post("torn@0.5")).json()["content"][0]["text"])
        assert "{" not in (await post("prose")).json()["content"][0]["text"]


# Counting tokens.


@pytest.mark.real_time
async def test_tokens_are_counted_as_they_are_then_used() -> None:
    big = {"type": "text", "text": "Rules. " * 400, "cache_control": {"type": "ephemeral"}}
    tool = {"name": "tell", "input_schema": SCHEMA, "description": "Tell it."}
    prompts: list[dict[str, Any]] = [
        {},
        {"system": "Be brief."},
        {"system": [big]},
        {"tools": [tool], "tool_choice": {"type": "tool", "name": "tell"}},
        {"messages": [*ASKED, {"role": "assistant", "content": "So."}, *ASKED]},
    ]
    async with plainly() as (_, sdk):
        for more in prompts:
            prompt = {"model": "narrator", "messages": ASKED} | more
            counted = await sdk.messages.count_tokens(**prompt)
            for _ in range(2):  # the second finds the cache filled
                usage = (await sdk.messages.create(**prompt, max_tokens=50)).usage
                read, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
                assert counted.input_tokens == usage.input_tokens + (read or 0) + (written or 0)


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"max_tokens": 5}, 400, "max_tokens: Extra inputs are not permitted"),
        ({"stream": True}, 400, "stream: Extra inputs are not permitted"),
        ({"messages": []}, 400, "at least one message"),
        ({"model": "gpt-5"}, 404, "model: gpt-5"),
    ],
)
async def test_what_cannot_be_counted_is_refused(
    change: dict[str, Any], status: int, said: str
) -> None:
    prompt = {"model": "narrator", "messages": ASKED} | change
    async with plainly() as (http, _):
        answer = await http.post("/v1/messages/count_tokens", json=prompt)
        missing = await http.post("/v1/messages/count_tokens", json={"model": "narrator"})
        no_object = await http.post("/v1/messages/count_tokens", json=[1])
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert missing.json()["error"]["message"] == "messages: Field required"
    assert no_object.status_code == 400


@pytest.mark.real_time
async def test_counting_asks_for_the_key_as_well() -> None:
    prompt = {"model": "narrator", "messages": ASKED}
    async with (
        running(INSTANT, key="sesame") as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as http,
    ):
        refused = await http.post("/v1/messages/count_tokens", json=prompt)
        headers = {"x-api-key": "sesame"}
        taken = await http.post("/v1/messages/count_tokens", json=prompt, headers=headers)
    assert (refused.status_code, taken.status_code) == (401, 200)
    assert refused.json()["error"]["type"] == "authentication_error"


# A session among faults.

STORM = (
    "429=1:0.08,500:0.05,529:0.05,slow=8:0.05,stall:0.08,stall=3:0.05,cut:0.1,error:0.08,"
    "torn:0.1,prose:0.05,garbled:0.08,empty:0.05,refusal:0.08"
)
MIRA = {"name": "Mira", "side": "party", "hp": 21, "max_hp": 21}
GOBLIN = {"name": "Goblin", "side": "foes", "hp": 90, "max_hp": 90}


async def evening(model: Model, settings: Settings, turns: int, pause: float) -> Counter[str]:
    """Play turns against ``model``; how they were served, each of them once."""
    served: Counter[str] = Counter()
    async with foretell.Game(settings, model=model) as game, await game.session("storm") as session:
        virtual = isinstance(asyncio.get_running_loop(), VirtualLoop)
        with guarantees(session) if virtual else nullcontext():
            session.update({"mode": "combat", "actors": {"mira": MIRA, "goblin": GOBLIN}})
            for number in range(turns):
                session.begin_turn("mira")
                action = session.declare("mira", "longsword", target="goblin")
                await asyncio.sleep(pause)
                telling = action.outcome("miss" if number % 3 else "hit", damage=number % 3 or 4)
                session.end_turn()
                try:
                    await telling
                except foretell.TellingError:
                    assert telling.ended is not None
                    assert telling.ended.text.strip()  # what came before it, or plain words
                assert telling.ended is not None
                served.update(telling.ended.served)
        report = session.report()
    assert sum(served.values()) == report["outcomes"] == turns
    assert report["stale"] == report["untrue"] == report["faults"] == 0
    return served


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("intensity", list(Intensity))
async def test_every_outcome_has_one_ending_whatever_the_narrator_does(
    seed: int, intensity: Intensity
) -> None:  # G2
    engine = Engine(profile("hosted-small"), seed, faults=Faults.parse(STORM))
    served = await evening(
        NarratorModel(engine), Settings(seed=seed, intensity=intensity), turns=20, pause=3.0
    )
    assert len({account.fault for account in engine.accounts}) > 8
    assert served["failed"] and served["miss"] + served["hit"] + served["in_flight"]
    assert not engine.open


@pytest.mark.real_time
async def test_and_over_real_http_no_connection_is_left() -> None:  # G4
    brisk = Profile("brisk", "made for tests", math.inf, math.inf, 0.01, 5000)
    faults = Faults.parse(re.sub(r"=[138](?=:)", "=0.05", STORM))
    settings = Settings(deadline=0.5, quiet=0.01, max_wait=0.02)
    async with doors(brisk, faults, patience=0.3) as (door, _, _, engine):
        served = await evening(door, settings, turns=15, pause=0.06)
        async with asyncio.timeout(5):
            while engine.open:  # noqa: ASYNC110 - what another connection does sets no event here
                await asyncio.sleep(0.01)
    assert served["failed"]
    assert len({account.fault for account in engine.accounts}) > 5


def test_faults_leave_what_is_spared_as_it_was() -> None:
    assert set(PROFILES) >= {"instant", "hosted-large"}
    faulty = Engine(STEADY, faults=Faults.parse("cut:0.5"))
    for _ in range(5):
        events, error = run_virtual(read(NarratorModel(faulty), asked()))
        if error is None:
            assert events == of(None)[0]
    assert {a.ended for a in faulty.accounts} == {"finished", "broken"}
