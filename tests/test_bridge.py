"""Between async iterators and observables: what was opened is closed; no reader holds up all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from reactivex import operators as ops
from reactivex.subject import Subject

from foretell.streams.bridge import Full, Overrun, follow, from_async_iterable
from foretell.streams.models import (
    Delta,
    Message,
    ModelBadRequest,
    ModelEvent,
    ModelUnavailable,
    Request,
    Stop,
    Tool,
)
from foretell.streams.plain import PlainFallback
from foretell.streams.tasks import Tasks
from foretell.testing import instant


class Source:
    """Counts to ``last``, one a second, and takes half a second to close."""

    def __init__(self, last: int = 3, fail_at: int = 0) -> None:
        self.log: list[str] = []
        self.last = last
        self.fail_at = fail_at

    def say(self, what: str) -> None:
        self.log.append(f"{asyncio.get_running_loop().time():g} {what}")

    async def __call__(self) -> AsyncGenerator[int, None]:
        self.say("open")
        try:
            for n in range(1, self.last + 1):
                if n == self.fail_at:
                    raise RuntimeError("dry")
                yield n
                await asyncio.sleep(1)
        finally:
            await asyncio.sleep(0.5)
            self.say("closed")


class Watch:
    def __init__(self, open_source: Callable[[], AsyncIterable[int]]) -> None:
        self.faults: list[str] = []
        self.seen: list[str] = []
        self.tasks = Tasks(lambda where, error: self.faults.append(f"{where}: {error}"))
        self.stream = from_async_iterable(open_source, self.tasks)

    def subscribe(self, name: str = "") -> Any:
        def say(what: object) -> None:
            self.seen.append(f"{asyncio.get_running_loop().time():g} {name}{what}")

        return self.stream.subscribe(say, lambda error: say(repr(error)), lambda: say("|"))


async def test_it_is_opened_for_each_subscriber_and_closed_before_the_end() -> None:
    source = Source(2)
    watch = Watch(source)
    assert source.log == []
    watch.subscribe("a")
    await asyncio.sleep(0.25)
    watch.subscribe("b")
    await asyncio.sleep(5)
    assert watch.seen == ["0 a1", "0.25 b1", "1 a2", "1.25 b2", "2.5 a|", "2.75 b|"]
    assert source.log == ["0 open", "0.25 open", "2.5 closed", "2.75 closed"]


async def test_disposal_closes_it() -> None:  # G4
    source = Source(9)
    watch = Watch(source)
    subscription = watch.subscribe()
    await asyncio.sleep(1.5)
    subscription.dispose()
    await asyncio.sleep(5)
    assert watch.seen == ["0 1", "1 2"]
    assert source.log == ["0 open", "2 closed"]
    assert watch.faults == []


async def test_disposal_inside_on_next_closes_it_to_the_end() -> None:  # G4
    source = Source(9)
    watch = Watch(source)
    watch.stream.pipe(ops.take(2)).subscribe(lambda item: watch.seen.append(str(item)))
    await asyncio.sleep(5)
    assert watch.seen == ["1", "2"]
    assert source.log == ["0 open", "1.5 closed"]


async def test_an_error_of_the_source_comes_after_its_closing() -> None:
    source = Source(fail_at=2)
    watch = Watch(source)
    watch.subscribe()
    await asyncio.sleep(5)
    assert watch.seen == ["0 1", "1.5 RuntimeError('dry')"]
    assert source.log == ["0 open", "1.5 closed"]
    assert watch.faults == []


async def test_a_source_that_cannot_be_opened_is_an_error_too() -> None:
    def locked() -> AsyncIterable[int]:
        raise OSError("locked")

    watch = Watch(locked)
    watch.subscribe()
    await instant()
    assert watch.seen == ["0 OSError('locked')"]


async def test_a_subscriber_that_raises_closes_it_and_is_reported() -> None:  # G10
    source = Source(9)
    watch = Watch(source)

    def bad(item: int) -> None:
        if item == 2:
            raise RuntimeError("mine")

    watch.stream.subscribe(bad, lambda error: watch.seen.append("on_error"))
    await asyncio.sleep(5)
    assert source.log == ["0 open", "1.5 closed"]
    assert watch.faults == ["from_async_iterable: mine"]
    assert watch.seen == []


async def test_an_iterator_with_nothing_to_close_will_do() -> None:
    class Plain:
        def __aiter__(self) -> AsyncIterator[int]:
            return self

        async def __anext__(self) -> int:
            raise StopAsyncIteration

    watch = Watch(Plain)
    watch.subscribe()
    await instant()
    assert watch.seen == ["0 |"]


# ── follow ────────────────────────────────────────────────────────────────────────────────────────


async def slowly(items: AsyncIterator[int]) -> list[object]:
    """Read after everything has come."""
    await asyncio.sleep(1)
    seen: list[object] = []
    while True:
        try:
            seen.append(await anext(items))
        except Overrun as error:
            return [*seen, str(error)]
        except StopAsyncIteration:
            return seen


@pytest.mark.parametrize(
    ("full", "expected"),
    [
        (Full.DROP_OLDEST, [4, 5, 6]),
        (Full.KEEP_LATEST, [4, 5, 6]),
        (Full.ERROR, [1, 2, 3, "reader fell more than 3 items behind"]),
    ],
)
async def test_a_slow_reader_costs_itself_only(full: Full, expected: list[object]) -> None:  # G10
    source: Subject[int] = Subject()
    async with follow(source, bound=3, full=full) as items:
        reader = asyncio.create_task(slowly(items))
        for n in range(1, 7):
            source.on_next(n)
        source.on_completed()
        assert await reader == expected


async def test_keep_latest_drops_the_whole_backlog() -> None:
    source: Subject[int] = Subject()
    async with follow(source, bound=3, full=Full.KEEP_LATEST) as items:
        reader = asyncio.create_task(slowly(items))
        for n in range(1, 6):
            source.on_next(n)
        source.on_completed()
        assert await reader == [4, 5]


async def test_after_an_overrun_no_item_hides_the_gap() -> None:
    source: Subject[int] = Subject()
    async with follow(source, bound=2, full=Full.ERROR) as items:
        for n in (1, 2, 3):
            source.on_next(n)
        assert await anext(items) == 1
        source.on_next(4)
        assert await anext(items) == 2
        with pytest.raises(Overrun):
            await anext(items)


async def test_a_reader_waits_for_what_comes_and_stops_at_the_end() -> None:
    source: Subject[str] = Subject()
    seen: list[str] = []

    async def read() -> None:
        async with follow(source) as items:
            async for item in items:
                seen.append(item)  # noqa: PERF401 - each as it comes
        seen.append("|")

    reader = asyncio.create_task(read())
    for item in "ab":
        await asyncio.sleep(1)
        source.on_next(item)
    await instant()
    assert seen == ["a", "b"]
    source.on_completed()
    await reader
    assert seen == ["a", "b", "|"]


async def test_an_error_comes_after_what_came_before_it() -> None:
    source: Subject[int] = Subject()
    async with follow(source) as items:
        source.on_next(1)
        source.on_error(RuntimeError("dry"))
        assert await anext(items) == 1
        with pytest.raises(RuntimeError, match="dry"):
            await anext(items)


async def test_leaving_unsubscribes_however_one_leaves() -> None:
    source: Subject[int] = Subject()
    async with follow(source) as items:
        source.on_next(1)
        async for _ in items:
            break
    assert source.observers == []
    with pytest.raises(KeyError):
        async with follow(source):
            raise KeyError
    assert source.observers == []

    async def read() -> None:
        async with follow(source) as items:
            await anext(items)

    reader = asyncio.create_task(read())
    await instant()
    assert len(source.observers) == 1
    reader.cancel()
    await asyncio.wait([reader])
    assert source.observers == []


async def test_a_bound_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="bound must be at least 1"):
        async with follow(Subject(), bound=0):
            pass


# ── tasks ─────────────────────────────────────────────────────────────────────────────────────────


async def test_the_owner_hears_of_failures_and_of_no_cancellation() -> None:
    faults: list[str] = []
    tasks = Tasks(lambda name, error: faults.append(f"{name}: {error!r}"))

    async def fail() -> None:
        raise RuntimeError("x")

    tasks.start(fail(), name="bad")
    tasks.start(asyncio.sleep(100), name="long").cancel()
    await instant()
    assert faults == ["bad: RuntimeError('x')"]
    assert len(tasks) == 0


async def test_closing_waits_for_clean_up_and_does_not_cut_it_short() -> None:  # G4
    log: list[str] = []
    tasks = Tasks(lambda name, error: log.append(repr(error)))

    async def work(name: str) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(0.5)
            log.append(f"{name} clean")

    a = tasks.start(work("a"), name="a")
    tasks.start(work("b"), name="b")
    await asyncio.sleep(1)
    a.cancel()
    await asyncio.sleep(0.25)
    await tasks.aclose()
    assert log == ["a clean", "b clean"]
    assert asyncio.get_running_loop().time() == 1.75


async def test_closing_gets_the_better_of_a_task_that_does_not_hear() -> None:  # G10
    tasks = Tasks(lambda name, error: None)
    deaf = 0

    async def stubborn() -> None:
        nonlocal deaf
        while deaf < 3:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                deaf += 1

    tasks.start(stubborn(), name="stubborn")
    await instant()
    await tasks.aclose()
    assert deaf == 3 and len(tasks) == 0


async def test_closing_ends_what_is_started_meanwhile() -> None:
    tasks = Tasks(lambda name, error: None)

    async def last_words() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            tasks.start(asyncio.sleep(1000), name="late")

    tasks.start(last_words(), name="first")
    await instant()
    await tasks.aclose()
    assert len(tasks) == 0
    assert asyncio.get_running_loop().time() < 10


# ── servers that know no schema ───────────────────────────────────────────────────────────────────


class Simple:
    """Refuses some settings of a request; ``late`` refuses only after it has begun."""

    def __init__(
        self, *refused: str, late: bool = False, error: type[Exception] = ModelBadRequest
    ) -> None:
        self.refused = refused
        self.asked: list[str] = []
        self.late = late
        self.error = error
        self.open = 0

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        has = [name for name in ("effort", "schema") if getattr(request, name) is not None]
        self.asked.append(" ".join(has))
        self.open += 1
        try:
            if set(has) & set(self.refused):
                if self.late:
                    yield Delta("{")
                raise self.error("not here")
            yield Delta("Plain words.")
            yield Stop("end_turn")
        finally:
            self.open -= 1

    async def aclose(self) -> None:
        self.asked.append("closed")


def asked(model: str = "m", schema: Any = None, effort: str | None = None) -> Request:
    return Request(model, (Message("user", "tell"),), schema=schema, effort=effort)


async def read(model: PlainFallback, request: Request) -> list[ModelEvent]:
    return [event async for event in model.stream(request)]


WORDS = [Delta("Plain words."), Stop("end_turn")]


@pytest.mark.parametrize(
    ("refused", "tries"),
    [
        ((), ["effort schema"]),
        (("effort",), ["effort schema", "schema"]),
        (("schema",), ["effort schema", "schema", ""]),
        (("effort", "schema"), ["effort schema", "schema", ""]),
    ],
)
async def test_what_a_server_refuses_is_left_out_and_remembered(
    refused: tuple[str, ...], tries: list[str]
) -> None:
    server = Simple(*refused)
    model = PlainFallback(server)
    assert await read(model, asked(schema={}, effort="low")) == WORDS
    assert await read(model, asked(schema={}, effort="low")) == WORDS
    assert server.asked == [*tries, tries[-1]]
    assert await read(model, asked("other", schema={}, effort="low")) == WORDS
    assert server.asked[len(tries) + 1 :] == tries  # it is remembered by the model's name
    assert server.open == 0


async def test_what_is_refused_of_one_form_is_asked_of_another_all_the_same() -> None:
    class Picky(Simple):
        async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
            self.asked.append(f"{request.schema}")
            if request.schema == {"plan": 1}:
                raise ModelBadRequest("schema is too complex")
            yield Delta("Plain words.")
            yield Stop("end_turn")

    server = Picky()
    model = PlainFallback(server)
    for schema in ({"plan": 1}, {"telling": 1}, {"plan": 1}):
        assert await read(model, asked(schema=schema)) == WORDS
    assert server.asked == ["{'plan': 1}", "None", "{'telling': 1}", "None"]
    for n in range(200):
        await read(model, asked(schema={"n": n}))
    assert len(model._level) == 64


async def test_the_eager_streaming_of_tools_is_left_out_before_the_schema_is() -> None:
    class Old(Simple):
        async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
            eager = any(tool.eager for tool in request.tools)
            self.asked.append(f"{eager} {request.schema}")
            if eager:
                raise ModelBadRequest("eager_input_streaming: unknown field")
            yield Delta("Plain words.")
            yield Stop("end_turn")

    server, tools = Old(), (Tool("plan", {}), Tool("note", {}, eager=False))
    model = PlainFallback(server)
    for _ in range(2):
        assert await read(model, replace(asked(schema={}), tools=tools)) == WORDS
    assert server.asked == ["True {}", "False {}", "False {}"]


@pytest.mark.parametrize("refused", [("effort",), ("schema",), ()])
async def test_a_plain_request_is_answered_whatever_is_remembered(refused: tuple[str, ...]) -> None:
    server = Simple(*refused)
    model = PlainFallback(server)
    await read(model, asked(schema={}, effort="low"))
    assert await read(model, asked()) == WORDS
    assert await read(model, asked(schema={})) == WORDS


async def test_what_is_refused_at_its_plainest_is_an_error() -> None:
    class Strict(Simple):
        async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
            self.asked.append("")
            raise ModelBadRequest("never")
            yield Delta("")

    server = Strict()
    with pytest.raises(ModelBadRequest):
        await read(PlainFallback(server), asked())
    with pytest.raises(ModelBadRequest):
        await read(PlainFallback(server), asked(schema={}, effort="low"))
    assert len(server.asked) == 1 + 3


async def test_a_refusal_in_mid_answer_or_another_error_is_passed_on() -> None:
    with pytest.raises(ModelBadRequest):
        await read(PlainFallback(Simple("schema", late=True)), asked(schema={}))
    down = Simple("schema", error=ModelUnavailable)
    with pytest.raises(ModelUnavailable):
        await read(PlainFallback(down), asked(schema={}))
    assert down.asked == ["schema"]


async def test_closing_the_fallback_closes_the_stream_behind_it() -> None:  # G4
    server = Simple("schema")
    stream = PlainFallback(server).stream(asked(schema={}))
    assert await anext(stream) == Delta("Plain words.")
    assert server.open == 1
    await stream.aclose()
    assert server.open == 0
