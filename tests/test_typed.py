"""Typed partials: a model's value, usable while its JSON streams, and never half a value in it."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import gc
import json
import re
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from decimal import Decimal
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    TypeAdapter,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)
from reactivex import operators as ops
from reactivex.subject import Subject

import foretell
from foretell.operators.narrative import Patched
from foretell.operators.partials import (
    MISSING,
    Final,
    Partial,
    PartialParser,
    Patch,
    Progress,
    apply,
)
from foretell.operators.typed import Element, FieldDone, TypedPartials, Unfinished, partials
from foretell.operators.typed_errors import Errors
from foretell.operators.typed_views import PartialDict, PartialList, PartialOf
from foretell.sinks.telling import Telling
from foretell.streams.clock import LoopScheduler

ABSENT, GROWING, DONE = Progress.ABSENT, Progress.GROWING, Progress.DONE


class Step(BaseModel):
    act: Literal["MoveTo", "Attack"]
    x: int | None = None
    y: int | None = None
    target_id: int | None = None


class Plan(BaseModel):
    plan_id: str
    steps: list[Step]


class AgentPlan(BaseModel):
    agent: str
    steps: list[Step]


THREE_FEEDS = (
    '{"plan_id":"p1",',
    '"steps":[{"act":"MoveTo","x":10,"y":10},',
    '{"act":"Attack","target_id":5}]}',
)
WALK = Step(act="MoveTo", x=10, y=10)
STRIKE = Step(act="Attack", target_id=5)


def pieces(text: str, size: int) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


def emitted(typed: TypedPartials[Any], text: str, size: int = 1) -> list[Any]:
    out = [each for piece in pieces(text, size) for each in typed.feed(piece)]
    return out + typed.finish()


def half(model: type[Any], text: str) -> Any:
    """What there is after the beginning ``text``."""
    typed = TypedPartials(model)
    for piece in pieces(text, 1):
        typed.feed(piece)
    return typed.partial


def test_what_lies_in_what_is_of_another_kind_is_nothing_of_the_model() -> None:
    text = '{"plan_id":["p"],"steps":[["MoveTo"],{"act":"Attack","x":{"y":[1]}},{"act":{"z":1}}]}'
    for emit in ("field", "element"):
        *told, last = emitted(TypedPartials(Plan, emit), text)
        assert isinstance(last, Unfinished)
        assert [each.path for each in told if not each.errors] == (
            [("steps", 1, "act")] if emit == "field" else []
        )
        names = {"plan_id", "steps"} if emit == "field" else {0, 1, 2}
        within = {"act", "x"} if emit == "field" else set()
        assert {each.path[-1] for each in told} == names | within


# ── plans, step by step ──────────────────────────────────────────────────────────────────────────


def test_a_step_is_there_when_its_object_closes() -> None:
    typed = TypedPartials(Plan)  # 3-17, 3-16
    steps = []
    for feed in THREE_FEEDS:
        typed.feed(feed)
        steps.append(typed.partial.finished("steps"))
    assert [len(each) for each in steps] == [0, 1, 2]
    assert steps[-1] == [WALK, STRIKE]


def test_a_truncated_plan_gives_the_steps_that_were_whole() -> None:
    typed = TypedPartials(Plan, "element")  # 3-18
    (step,) = typed.feed('{"plan_id":"p1","steps":[{"act":"MoveTo","x":10,"y":10}')
    assert step == Element(("steps", 0), WALK, ())
    (last,) = typed.finish()
    assert isinstance(last, Unfinished)
    assert last.partial.finished("steps") == [WALK]
    assert last.partial.plan_id == "p1"
    assert last.reason == "cut off before its end"


def test_a_step_that_was_not_whole_is_no_step() -> None:
    (last,) = TypedPartials(Plan, "element").finish()
    assert last.partial.finished("steps") == []
    typed = TypedPartials(Plan, "element")
    assert typed.feed('{"plan_id":"p1","steps":[{"act":"MoveTo","x":10,"y":1') == []
    assert typed.finish()[0].partial.finished("steps") == []


@pytest.mark.parametrize("steps", [0, 1, 3, 40])
def test_plans_of_several_agents_come_per_agent_and_per_step(steps: int) -> None:
    plans = [AgentPlan(agent=name, steps=[WALK, STRIKE] * steps) for name in ("ash", "brix")]
    text = json.dumps([plan.model_dump(exclude_unset=True) for plan in plans], indent=1)
    *elements, final = emitted(TypedPartials(list[AgentPlan], "element"), text, 7)
    assert final == plans
    expected = [
        element
        for at, plan in enumerate(plans)
        for element in [((at, "steps", i), step) for i, step in enumerate(plan.steps)]
        + [((at,), plan)]
    ]
    assert [(each.path, each.value) for each in elements] == expected
    only = emitted(TypedPartials(list[AgentPlan], "element", at="*.steps"), text)[:-1]
    assert [each.path for each in only] == [path for path, _ in expected if len(path) == 3]


def test_what_stands_around_the_plan_is_no_matter() -> None:
    typed = TypedPartials(Plan, "element")  # 3-42
    out = emitted(
        typed, "Here is the plan:\n```json\n" + "".join(THREE_FEEDS) + "\n```\nGood luck!", 3
    )
    assert [type(each) for each in out] == [Element, Element, Plan]


def test_a_whole_that_the_parser_found_only_at_the_end_is_made_up_for() -> None:
    typed = TypedPartials(Plan, "element")  # 3-52
    parser = PartialParser()
    assert len(typed.take(parser.feed("".join(THREE_FEEDS[:2])))) == 1
    whole = json.loads("".join(THREE_FEEDS))
    second, final = typed.finish(Final(whole))
    assert second == Element(("steps", 1), STRIKE, ())
    assert final == Plan(plan_id="p1", steps=[WALK, STRIKE])
    other = TypedPartials(Plan, "element")
    other.take(PartialParser().feed('{"plan_id":"p2'))
    assert other.finish(Final(whole)) == [final]


# ── what is there, and how far it is ─────────────────────────────────────────────────────────────


class Mood(Enum):
    GRIM = "grim"
    GRIMMER = "grimmer"


class Sword(BaseModel):
    kind: Literal["sword"]
    edge: str


class Spell(BaseModel):
    kind: Literal["spell"]
    when: dt.date


class Beat(BaseModel):
    text: str
    mood: Mood = Mood.GRIM
    at: dt.datetime | None = None
    cost: Decimal = Decimal(0)
    hp: Annotated[int, Field(ge=0, alias="hitPoints")] = 1
    tool: Annotated[Sword | Spell, Field(discriminator="kind")] | None = None
    notes: dict[str, Step] = {}
    pair: tuple[int, str] = (0, "")
    tags: set[str] = set()
    either: Sword | Step | str | None = None
    anything: Any = None


def test_fields_not_begun_are_absent_and_never_none() -> None:
    partial = half(Beat, '{"text":"The gob')
    assert partial.text == "The gob" and list(partial) == ["text"]
    assert "mood" not in partial and partial.get("mood") is MISSING
    assert partial.get("mood", 7) == 7 and not hasattr(partial, "mood")
    assert partial.state("mood") is ABSENT and partial.state("text") is GROWING
    assert partial.state() is GROWING and not partial.done("text")
    with pytest.raises(AttributeError, match="'mood' is not there yet"):
        _ = partial.mood
    with pytest.raises(KeyError):
        partial["mood"]
    null = half(Beat, '{"at":null')
    assert "at" not in null
    assert half(Beat, '{"at":null,').at is None


def test_no_half_value_shows_where_half_is_another_or_none() -> None:
    partial = half(Beat, '{"mood":"grim')
    assert partial.state("mood") is GROWING and "mood" not in partial
    assert partial.raw() == {"mood": "grim"}
    assert half(Beat, '{"mood":"grimmer"').mood is Mood.GRIMMER
    assert "at" not in half(Beat, '{"at":"2026-11-21T10:00:0')
    assert half(Beat, '{"at":"2026-11-21T10:00:00"').at == dt.datetime(2026, 11, 21, 10)  # noqa: DTZ001
    assert "hp" not in half(Beat, '{"hitPoints":1')
    assert half(Beat, '{"hitPoints":12 ').hp == 12
    assert half(Beat, '{"cost":"1.50"').cost == Decimal("1.50")
    assert list(half(Beat, '{"tags":["a","b').tags) == ["a", "b"]
    assert half(Beat, '{"tags":["a","b"]').tags == {"a", "b"}


@pytest.mark.parametrize(
    ("kind", "text", "shown"),
    [
        (dt.date, '{"all":[', []),
        (dt.date, '{"all":["2026-', []),
        (dt.date, '{"all":["2026-11-21"', [dt.date(2026, 11, 21)]),
        (dt.date, '{"all":["2026-11-21","2026-1', [dt.date(2026, 11, 21)]),
        (str, '{"all":["a","b', ["a", "b"]),
        (int, '{"all":[1,2', [1]),
    ],
)
def test_a_list_is_as_long_as_what_can_be_shown_of_it(
    kind: Any, text: str, shown: list[Any]
) -> None:
    model = create_model("All", all=(list[kind], ...))
    growing = half(model, text).all
    assert isinstance(growing, PartialList)
    assert len(growing) == len(shown) and list(growing) == shown
    assert growing[-len(shown) :] == shown
    with pytest.raises(IndexError):
        growing[len(shown)]


def test_nested_values_are_partials_until_they_close() -> None:
    partial = half(
        Plan, '{"plan_id":"p","steps":[{"act":"MoveTo","x":10,"y":10},{"act":"Attack","x":'
    )
    assert isinstance(partial.steps, PartialList) and len(partial.steps) == 2
    assert partial.steps[0] == WALK and isinstance(partial.steps[0], Step)
    growing = partial.steps[-1]
    assert isinstance(growing, PartialOf) and growing.act == "Attack" and "x" not in growing
    assert partial.state("steps", 1, "act") is DONE and partial.state("steps", 1, "x") is ABSENT
    assert partial.state("steps", 0, "y") is DONE and partial.state("steps", 1) is GROWING
    assert partial.state("steps", 9, "act") is ABSENT and partial.state("plan_id", 0) is ABSENT
    assert partial.steps[:1] == [WALK]
    with pytest.raises(IndexError):
        partial.steps[2]
    notes = half(Beat, '{"notes":{"a":{"act":"MoveTo"},"b":{"act":"Att').notes
    assert isinstance(notes, PartialDict) and list(notes) == ["a", "b"] and len(notes) == 2
    assert notes["a"] == Step(act="MoveTo") and "act" not in notes["b"]
    assert half(Beat, '{"pair":[7,"ab').pair == [7, "ab"]
    assert half(Beat, '{"pair":[7,"ab"]').pair == (7, "ab")


def test_a_union_is_what_its_tag_says_and_else_a_mapping_until_it_closes() -> None:
    assert half(Beat, '{"tool":{"kind":"spell","when":"2026-11-21"').tool.when == dt.date(
        2026, 11, 21
    )
    late = half(Beat, '{"tool":{"when":"2026-11-21"')
    assert isinstance(late.tool, PartialDict) and late.tool["when"] == "2026-11-21"
    late = half(Beat, '{"tool":{"when":"2026-11-21","kind":"spell"')
    assert isinstance(late.tool, PartialOf) and late.tool.when == dt.date(2026, 11, 21)
    out = emitted(
        TypedPartials(Beat, "field"), '{"text":"a","tool":{"when":"2026-11-21","kind":"spell"}}'
    )
    assert [each.path[-1] for each in out[:-1]] == ["text", "when", "kind", "tool"]
    either = half(Beat, '{"either":{"kind":"sword","edge":"bl')
    assert isinstance(either.either, PartialDict) and either.either["edge"] == "bl"
    assert half(Beat, '{"either":{"kind":"sword","edge":"b"}').either == Sword(
        kind="sword", edge="b"
    )
    assert half(Beat, '{"either":"wor').either == "wor"
    assert half(Beat, '{"anything":{"a":[1,"b').anything == {"a": [1, "b"]}


class Tree(BaseModel):
    name: str
    kids: list[Tree] = []
    next: Tree | None = None


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Odd(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", populate_by_name=True)
    state: str = Field(default="", validation_alias=AliasChoices("State", "status"))
    day: dt.date = dt.date(2000, 1, 1)
    point: Point = Point(1)
    grid: RootModel[list[list[int]]] = RootModel[list[list[int]]]([])


def test_recursive_models_dataclasses_aliases_extras_and_names_that_clash() -> None:
    tree = half(Tree, '{"name":"a","kids":[{"name":"b","kids":[{"name":"c"}]}],"next":{"name":"d')
    assert tree.kids == [Tree(name="b", kids=[Tree(name="c")])]
    assert isinstance(tree.next, PartialOf) and tree.next.name == "d"
    odd = half(Odd, '{"status":"wet","extra":[1],"day":"2026-01-02","point":{"x":3')
    assert odd["state"] == "wet" and odd.state("state") is DONE
    assert half(Odd, '{"state":"dry"')["state"] == "dry"
    assert odd.extra == [1] and odd.day == dt.date(2026, 1, 2) and odd.raw()["status"] == "wet"
    assert isinstance(odd.point, PartialOf)
    assert half(Odd, '{"point":{"x":3}').point == Point(3)
    grid = half(Odd, '{"grid":[[1,2],[3,').grid
    assert grid == [[1, 2], [3]]
    assert list(half(Plan, '{"nonsense":[1],"plan_id":"p')) == ["plan_id"]
    assert emitted(
        TypedPartials(Plan, "element"), '{"nonsense":[1,2],"plan_id":"p","steps":[]}'
    ) == [Plan(plan_id="p", steps=[])]


def test_a_partial_is_one_moment_and_compares_by_value() -> None:
    text = "".join(THREE_FEEDS)
    typed = TypedPartials(Plan)
    kept = [(typed.feed(piece), typed.partial) for piece in text]
    for at, (_, partial) in enumerate(kept):
        assert partial == half(Plan, text[: at + 1])
        assert repr(partial) == repr(half(Plan, text[: at + 1]))
    assert kept[3][1] != kept[14][1] and kept[3][1] != "x"
    assert half(Plan, '{"plan_id":"p') != half(Plan, '{"plan_id":"p"')
    steps = half(Plan, '{"steps":[{"act":"MoveTo"}').steps
    assert steps == [Step(act="MoveTo")] and steps != "x"


def test_its_repr_shows_what_there_is_and_what_is_growing() -> None:
    partial = half(Plan, '{"plan_id":"p1","steps":[{"act":"MoveTo"},{"act":"Attack","x":')
    assert repr(partial) == (
        "<partial Plan(plan_id='p1', steps=<partial [Step(act='MoveTo', x=None, y=None, "
        "target_id=None), <partial Step(act='Attack')>…]>…)>"
    )
    assert repr(half(Plan, '{"plan_id":"p')) == "<partial Plan(plan_id='p'…)>"
    assert repr(half(Beat, '{"notes":{"a":{')) == (
        "<partial Beat(notes=<partial {'a': <partial Step()>…}>…)>"
    )
    assert len(repr(half(Plan, '{"plan_id":"' + "x" * 10_000))) < 200
    assert repr(half(Plan, "Well")) == "<partial …()>"


# ── validators ───────────────────────────────────────────────────────────────────────────────────


class Watched(BaseModel):
    """Its validators note what they are called with."""

    low: int
    high: int
    name: Annotated[str, AfterValidator(lambda name: CALLS.append(("name", name)) or name.upper())]
    steps: list[Annotated[Step, BeforeValidator(lambda step: CALLS.append(("step", step)) or step)]]

    @field_validator("high")
    @classmethod
    def above(cls, high: int, info: ValidationInfo) -> int:
        CALLS.append(("high", high))
        if high < info.data["low"]:
            raise ValueError("high is below low")
        return high

    @model_validator(mode="before")
    @classmethod
    def before(cls, data: Any) -> Any:
        CALLS.append(("before", data))
        return data

    @model_validator(mode="after")
    def after(self) -> Watched:
        CALLS.append(("after", self.name))
        return self


CALLS: list[tuple[str, Any]] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def test_validators_run_on_what_is_done_and_models_on_their_whole() -> None:
    whole = {"low": 1, "high": 25, "name": "ash", "steps": [{"act": "MoveTo", "x": 12}]}
    typed = TypedPartials(Watched)
    text = json.dumps(whole)
    for piece in pieces(text[:-1], 1):
        typed.feed(piece)
    assert {what for what, _ in CALLS} == {"name", "high", "step"}
    assert typed.partial.name == "ASH"
    (_, final) = typed.feed("}")
    assert final == Watched.model_validate_json(text)
    whole_values = {"name": "ash", "high": 25, "step": whole["steps"][0], "before": whole}  # type: ignore[index]
    assert all(whole_values.get(what, "ASH") == value for what, value in CALLS)


def test_a_validator_that_looks_at_other_fields_waits_for_them() -> None:
    typed = TypedPartials(Watched, "field")
    assert typed.feed('{"high":5,"name":"a",') == [FieldDone(("name",), "A", ())]
    assert typed.partial.state("high") is GROWING and "high" not in typed.partial
    done = typed.feed('"low":9,')
    assert [(each.path, each.value) for each in done] == [(("low",), 9), (("high",), 5)]
    assert [error.message for error in done[1].errors] == ["Value error, high is below low"]
    assert typed.partial.high == 5 and typed.partial.done("high")


def test_a_done_field_that_is_not_valid_stays_usable_and_the_stream_goes_on() -> None:
    steps = '{"act":"Dance","x":1},{"act":"MoveTo","x":"far"},{"act":"Attack"}'
    text = f'{{"plan_id":"p","steps":[{steps}]}}'
    *shown, last = emitted(TypedPartials(Plan), text)
    partial = shown[-1]
    assert [(error.path, error.value) for error in partial.errors] == [
        (("steps", 0, "act"), "Dance"),
        (("steps", 1, "x"), "far"),
    ]
    assert partial.steps[0].act == "Dance" and partial.steps[0].errors == partial.errors[:1]
    assert partial.finished("steps") == [Step(act="Attack")] and partial.final is None
    assert isinstance(last, Unfinished) and last.errors == partial.errors
    assert last.reason.startswith("not valid: steps.0.act: Input should be 'MoveTo' or 'Attack'")
    assert "(and 1 more)" in last.reason
    assert next(each for each in shown if each.errors).errors == partial.errors[:1]
    elements = emitted(TypedPartials(Plan, "element"), text)[:-1]
    assert [bool(each.errors) for each in elements] == [True, True, False]


def test_limits_and_settings_hold_for_each_field_alone() -> None:
    class Terse(BaseModel):
        model_config = ConfigDict(str_strip_whitespace=True, defer_build=True)
        word: str
        short: Annotated[str, Field(max_length=3)]
        n: Annotated[int, Field(ge=1)]
        words: list[str]

    partial = half(Terse, '{"word":" a ","short":"abcd","n":0,"words":[" b ","c')
    assert partial.word == "a" and partial.words == ["b", "c"]
    assert [error.path for error in partial.errors] == [("short",), ("n",)]
    assert partial.short == "abcd" and partial.n == 0
    out = emitted(TypedPartials(Terse), '{"word":" a ","short":"abc","n":1,"words":[" b"]}')
    assert out[-1] == Terse(word="a", short="abc", n=1, words=["b"])


def test_a_validator_that_breaks_is_an_error_of_its_field() -> None:
    class Broken(BaseModel):
        n: Annotated[int, AfterValidator(lambda n: 1 // n)]
        text: str

    *_, last = emitted(TypedPartials(Broken), '{"n":0,"text":"on"}')
    assert last.partial.n == 0 and last.partial.text == "on"
    assert last.errors[0].path == ("n",) and "ZeroDivisionError" in last.errors[0].message


def test_what_an_enclosing_validator_puts_right_is_no_error() -> None:
    class Kind(BaseModel):
        steps: Annotated[list[Step], BeforeValidator(lambda steps: [s for s in steps if "x" in s])]

    out = emitted(TypedPartials(Kind), '{"steps":[{"act":"?"},{"act":"MoveTo","x":1}]}')
    assert (
        out[-1] == Kind.model_validate({"steps": [{"act": "MoveTo", "x": 1}]})
        and out[-2].errors == ()
    )
    assert any(partial.errors for partial in out[:-1])


def test_json_of_another_form_than_the_model_is_an_error_value() -> None:
    for text in (
        "[1,2]",
        '{"plan_id":{"a":1},"steps":"none"}',
        "7",
        "Sorry, I cannot.",
        "",
        '{"a"',
    ):
        *_, last = emitted(TypedPartials(Plan), text)
        assert isinstance(last, Unfinished) and last.reason and repr(last)
        assert last.partial.finished("steps") == []


# ── laws ─────────────────────────────────────────────────────────────────────────────────────────

LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=12),
    int: st.integers(-(2**62), 2**62),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    Mood: st.sampled_from(["grim", "grimmer"]),
    dt.date: st.dates().map(str),
    str | None: st.none() | st.text(max_size=5),
    Any: st.recursive(
        st.none() | st.text(max_size=4), lambda inner: st.lists(inner, max_size=3), max_leaves=4
    ),
}
seen: list[Any] = []


def noted(value: Any) -> Any:
    seen.append(value)
    return value


@st.composite
def types(draw: st.DrawFn, depth: int = 2) -> tuple[Any, st.SearchStrategy[Any]]:
    """A type, and plain JSON values that are valid for it."""
    kind = draw(st.sampled_from(["leaf", "list", "dict", "model"] if depth else ["leaf"]))
    if kind == "leaf":
        leaf = draw(st.sampled_from(list(LEAVES)))
        return leaf, LEAVES[leaf]
    if kind == "model":
        model, values = draw(models(depth - 1))
        return model, values
    drawn = draw(types(depth - 1))
    inner: Any = drawn[0]
    values = drawn[1]
    if kind == "list":
        return list[inner], st.lists(values, max_size=3)
    return dict[str, inner], st.dictionaries(st.text(max_size=3), values, max_size=3)


@st.composite
def models(draw: st.DrawFn, depth: int = 2) -> tuple[type[BaseModel], st.SearchStrategy[Any]]:
    fields: dict[str, Any] = {}
    values: dict[str, st.SearchStrategy[Any]] = {}
    for at in range(draw(st.integers(0, 3))):
        part = draw(types(depth))
        inner: Any = part[0]
        value = part[1]
        name, alias = f"f{at}", draw(st.sampled_from([None, f"alias-{at}"]))
        noting = Annotated[inner, BeforeValidator(noted), AfterValidator(lambda v: v)]
        fields[name] = (noting, Field(alias=alias))
        values[alias or name] = value
    return create_model("Drawn", **fields), st.fixed_dictionaries(values).flatmap(
        lambda whole: st.permutations(list(whole.items())).map(dict)
    )


def complete_values(value: Any) -> Iterator[Any]:
    yield value
    for inner in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from complete_values(inner)


ORDER = [ABSENT, GROWING, DONE]


def grown(before: Any, after: Any) -> bool:
    """Whether ``after`` is ``before`` grown on: the states, and what each field shows."""
    for name in before:
        paths: list[Any] = [(name,)]
        value = before.raw(name)
        if isinstance(value, list):
            paths += [(name, at) for at in range(len(value))]
        for path in paths:
            old, new = before.state(*path), after.state(*path)
            if ORDER.index(old) > ORDER.index(new):
                return False
            if old is DONE and (before.raw(*path) != after.raw(*path)):
                return False
        if before.done(name) and before[name] != after[name]:
            return False
        if isinstance(value, str) and not after.raw(name).startswith(value):
            return False
    return list(after)[: len(list(before))] == list(before)


@given(models(), st.data(), st.integers(1, 30))
def test_partials_only_grow_and_the_final_is_that_of_the_whole(
    drawn: tuple[type[BaseModel], st.SearchStrategy[Any]], data: st.DataObject, size: int
) -> None:
    model, values = drawn
    value = data.draw(values)
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    seen.clear()
    *shown, final = emitted(TypedPartials(model), text, size)
    complete = list(complete_values(value))
    assert all(any(each == one for one in complete) for each in seen)
    assert final == model.model_validate_json(text)
    assert shown[-1].final == final and shown[-1].done()
    assert all(grown(a, b) for a, b in pairwise(shown))
    assert all(each.errors == () for each in shown)
    assert emitted(TypedPartials(model, "patch"), text, size)[-1] == final


@given(models(), st.data(), st.integers(1, 30))
def test_fields_and_elements_are_those_of_the_final_value(
    drawn: tuple[type[BaseModel], st.SearchStrategy[Any]], data: st.DataObject, size: int
) -> None:
    model, values = drawn
    value = data.draw(values)
    text = json.dumps(value)

    def found(inner: Any, path: tuple[Any, ...], raw: Any) -> Iterator[tuple[bool, Any, Any]]:
        """Every field and element of the final value, those within first."""
        parts: Any = ()
        if isinstance(inner, BaseModel):
            keys = {name: each.alias or name for name, each in type(inner).model_fields.items()}
            parts = ((name, getattr(inner, name), raw[key]) for name, key in keys.items())
        elif isinstance(inner, dict) and isinstance(raw, dict):
            parts = ((name, each, raw[name]) for name, each in inner.items())
        elif isinstance(inner, list):
            parts = zip(range(len(inner)), inner, raw, strict=True)
        for name, each, came in parts:
            yield from found(each, (*path, name), came)
            yield isinstance(inner, list), (*path, name), each

    for emit in ("field", "element"):
        *out, final = emitted(TypedPartials(model, emit), text, size)
        expected = [each[1:] for each in found(final, (), value) if each[0] is (emit == "element")]
        assert sorted(((e.path, e.value) for e in out), key=repr) == sorted(expected, key=repr)
        assert all(each.errors == () for each in out)


@given(models(), st.data(), st.integers(1, 9))
def test_every_beginning_is_usable_and_ends_in_an_error_value(
    drawn: tuple[type[BaseModel], st.SearchStrategy[Any]], data: st.DataObject, size: int
) -> None:
    model, values = drawn
    text = json.dumps(data.draw(values))
    cut = data.draw(st.integers(0, len(text) - 1))
    noise = data.draw(st.sampled_from(["", "\x00", "}]", '"', "{", "NaN"]))
    out = emitted(TypedPartials(model), text[:cut] + noise, size)
    last = out[-1]
    assert isinstance(last, (Unfinished, model))
    if not noise:
        assert isinstance(last, Unfinished) and last.reason


def test_an_emission_costs_the_same_however_much_there_is() -> None:
    """Not a byte of what is done is copied, or looked at, for an emission."""
    typed = TypedPartials(Plan)
    typed.feed('{"plan_id":"p","steps":[' + '{"act":"MoveTo","x":1},' * 5000)
    root = typed.partial._node
    before = typed.partial
    typed.feed('{"act":"Att')
    after = typed.partial
    assert before._node is after._node is root
    root, steps = before._node.body, before._node.parts[1].body  # type: ignore[union-attr]
    step = steps.parts[5000].body
    assert (before._mark, after._mark) == (
        (2, {1: (5000, {}, steps)}, root),
        (2, {1: (5001, {5000: (1, {0: 3}, step)}, steps)}, root),
    )


# ── sentences ────────────────────────────────────────────────────────────────────────────────────


class Told(BaseModel):
    text: str
    when: dt.date | None = None
    lines: list[dict[str, str]] = []


def test_sentences_come_while_the_text_does() -> None:
    typed = TypedPartials(Told, "sentence", at="text")
    assert typed.feed('{"text":"The blade bi') == []
    assert typed.feed("tes. Blo") == []
    assert typed.feed("od, e.g. Brix\\u2019s, falls") == ["The blade bites."]
    (last,) = typed.feed('.","lines":[{"who":"Brix","words":"Ow. No."}],')
    assert (last, last.path) == ("Blood, e.g. Brix’s, falls.", ("text",))
    assert typed.feed('"when":"2026-11-21"}') == [
        Told(
            text="The blade bites. Blood, e.g. Brix’s, falls.",
            when=dt.date(2026, 11, 21),
            lines=[{"who": "Brix", "words": "Ow. No."}],
        )
    ]
    every = emitted(
        TypedPartials(Told, "sentence"), '{"lines":[{"words":"Ow. No."}],"text":"A bow. So'
    )
    assert [(each, each.path) for each in every[:-1]] == [
        ("Ow.", ("lines", 0, "words")),
        ("No.", ("lines", 0, "words")),
        ("A bow.", ("text",)),
        ("So", ("text",)),
    ]


def test_sentences_have_a_language() -> None:
    text = json.dumps({"text": "Am 3. Mai kam Dr. Müller. Er ging."})
    out = emitted(TypedPartials(Told, "sentence", language="de"), text, 4)
    assert out[:-1] == ["Am 3. Mai kam Dr. Müller.", "Er ging."]


# ── the operator ─────────────────────────────────────────────────────────────────────────────────


class Log:
    """What an observer was told, and when."""

    def __init__(self, source: rx.Observable[Any]) -> None:
        self.items: list[tuple[float, Any]] = []
        self.subscription = source.subscribe(self._add, self._add, lambda: self._add("|"))

    def _add(self, item: Any) -> None:
        self.items.append((asyncio.get_running_loop().time(), item))


def timeline(
    *chunks: str, every: float = 1.0, error: Exception | None = None
) -> rx.Observable[str]:
    """A chunk each ``every`` seconds, then the end."""
    scheduler = LoopScheduler(asyncio.get_running_loop())
    tick = rx.timer(every, scheduler=scheduler)
    parts = [rx.concat(tick.pipe(ops.ignore_elements()), rx.of(chunk)) for chunk in chunks]
    return rx.concat(*parts, rx.throw(error) if error else rx.empty())


async def test_partials_come_as_the_text_does_and_the_value_when_it_is_whole() -> None:
    log = Log(timeline(*THREE_FEEDS, " And good luck!").pipe(partials(Plan)))
    await asyncio.sleep(10)
    times, items = zip(*log.items, strict=True)
    assert times == (1, 2, 3, 3, 4)
    assert items[0].plan_id == "p1" and items[1].steps == [WALK]
    assert items[2].final == items[3] == Plan(plan_id="p1", steps=[WALK, STRIKE])
    assert items[4] == "|"


@pytest.mark.parametrize("emit", ["piece", "patch", "field", "element", "sentence"])
async def test_a_stream_takes_no_longer_with_partials_than_without(emit: Any) -> None:
    plain = Log(timeline(*THREE_FEEDS))  # 3-23
    log = Log(timeline(*THREE_FEEDS).pipe(partials(Plan, emit=emit, limit=60)))
    began = asyncio.get_running_loop().time()
    async for _ in TypedPartials(Plan, emit).over(slowly(*THREE_FEEDS)):
        pass
    assert asyncio.get_running_loop().time() - began == len(THREE_FEEDS)
    await asyncio.sleep(10)
    assert [log.items[-1], plain.items[-1]] == [(3, "|"), (3, "|")]
    assert {time for time, _ in log.items} <= {time for time, _ in plain.items}


async def slowly(*chunks: str) -> AsyncIterator[str]:
    """A chunk each second."""
    for chunk in chunks:
        await asyncio.sleep(1)
        yield chunk


async def test_steps_come_one_by_one_as_an_observable() -> None:
    log = Log(timeline(*THREE_FEEDS).pipe(partials(Plan, emit="element", at="steps")))
    await asyncio.sleep(10)
    assert log.items[:-2] == [
        (2, Element(("steps", 0), WALK, ())),
        (3, Element(("steps", 1), STRIKE, ())),
    ]


async def test_at_the_time_limit_what_is_complete_is_the_result() -> None:
    closed: list[Any] = []  # 3-24
    source = timeline(*THREE_FEEDS, every=4).pipe(
        ops.do_action(lambda _: None),
        ops.finally_action(lambda: closed.append(len(log.items))),
    )
    log = Log(source.pipe(partials(Plan, limit=10)))
    await asyncio.sleep(100)
    times, items = zip(*log.items, strict=True)
    assert times == (4, 8, 10, 10) and closed == [2]
    assert isinstance(items[2], Unfinished) and items[2].reason == "not complete within 10 seconds"
    assert items[2].partial.finished("steps") == [WALK] and items[3] == "|"


async def test_a_stream_within_its_limit_is_not_cut_short() -> None:
    log = Log(timeline(*THREE_FEEDS, every=3).pipe(partials(Plan, emit="element", limit=10)))
    await asyncio.sleep(100)
    assert [type(item) for _, item in log.items] == [Element, Element, Plan, str]
    assert log.items[-1][0] == 9


async def test_an_error_of_the_source_comes_after_what_was_usable() -> None:
    error = ConnectionError("gone")
    log = Log(timeline(*THREE_FEEDS[:2], error=error).pipe(partials(Plan, emit="element", limit=9)))
    await asyncio.sleep(100)
    step, last, raised = (item for _, item in log.items)
    assert step.value == WALK and last.partial.finished("steps") == [WALK]
    assert last.reason == "ConnectionError: gone" and raised is error


async def test_leaving_disposes_of_the_source_and_the_timer() -> None:
    source: Subject[str] = Subject()
    log = Log(source.pipe(partials(Plan, emit="element", limit=10), ops.take(1)))
    source.on_next("".join(THREE_FEEDS))
    assert [item for _, item in log.items] == [Element(("steps", 0), WALK, ()), "|"]
    assert not source.observers
    await asyncio.sleep(100)
    assert len(log.items) == 2
    other = Log(source.pipe(partials(Plan, limit=10)))
    other.subscription.dispose()
    timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    assert all(timer.cancelled() for timer in timers)
    await asyncio.sleep(100)
    assert other.items == []


async def test_each_subscription_has_a_value_of_its_own() -> None:
    typed = timeline(*THREE_FEEDS).pipe(partials(Plan, emit="element"))
    one = Log(typed)
    await asyncio.sleep(2.5)
    two = Log(typed)
    await asyncio.sleep(10)
    assert [item for _, item in one.items] == [item for _, item in two.items]


def test_what_cannot_be_is_said_at_once() -> None:
    with pytest.raises(ValueError, match="emit is one of piece, patch"):
        partials(Plan, emit="word")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="limit is a number of seconds above 0"):
        partials(Plan, limit=0)
    for at in ("stepz", "steps.*.acts", "steps.0.acts"):
        with pytest.raises(ValueError, match="the model has nothing at"):
            partials(Plan, emit="element", at=at)
    for at in ("plan_id.x", "steps.*.act.x", "steps.0.x.*"):  # a leaf has nothing within
        with pytest.raises(ValueError, match=re.escape(f"the model has nothing at '{at}'")):
            partials(Plan, emit="field", at=at)
    for at in ("mood.x", "at.year", "cost.x", "tags.0.x", "pair.1.x", "text.*"):
        with pytest.raises(ValueError, match="the model has nothing at"):
            TypedPartials(Beat, "sentence", at=at)
    with pytest.raises(ValueError, match="the model has nothing at 'plan_id'"):
        TypedPartials(Plan, "element", at="plan_id")  # it has no elements
    for at in ("steps", "steps.*.act", "steps.0.act", "*.*.act"):
        TypedPartials(Plan, "field", at=at)
    for at in ("either.edge", "anything.at.all", "notes.any.x"):
        TypedPartials(Beat, "field", at=at)
    TypedPartials(Beat, "field", at="tool.edge")
    TypedPartials(Beat, "field", at="notes.any.act")
    TypedPartials(Odd, "field", at="whatever.there.is")
    with pytest.raises(ValueError, match="at is for fields"):
        TypedPartials(Plan, at="steps")
    with pytest.raises(ValueError, match="language is an ISO 639 code"):
        TypedPartials(Plan, "sentence", language=None)  # type: ignore[arg-type]
    typed = TypedPartials(Plan)
    for patch in (
        Patch(("plan_id",), "set", ""),
        Patch(("plan_id",), "append", "x"),
        Patch((), "done", None),
    ):
        with pytest.raises(ValueError, match="does not fit what came before"):
            typed.take([patch])
    typed.take([Patch((), "set", {}), Patch(("plan_id",), "set", "p")])
    for patch in (
        Patch((), "set", {}),
        Patch(("plan_id",), "set", ""),
        Patch(("steps", 3), "set", 1),
    ):
        with pytest.raises(ValueError, match="does not fit what came before"):
            typed.take([patch])


# ── async iterators ──────────────────────────────────────────────────────────────────────────────


async def deltas(*chunks: str, every: float = 1.0, fault: bool = False) -> AsyncGenerator[str]:
    try:
        for chunk in chunks:
            await asyncio.sleep(every)
            yield chunk
        if fault:
            raise ConnectionError("gone")
    finally:
        CALLS.append(("closed", asyncio.get_running_loop().time()))


async def test_over_an_async_iterator_it_is_the_same() -> None:
    typed = TypedPartials(Plan, "element")
    out = [each async for each in typed.over(deltas(*THREE_FEEDS))]
    assert [each.value for each in out[:-1]] == [WALK, STRIKE]
    assert out[-1] == Plan(plan_id="p1", steps=[WALK, STRIKE]) and typed.ended


async def test_over_an_async_iterator_there_is_a_limit_and_the_stream_is_closed() -> None:
    out = []
    async for each in TypedPartials(Plan, "element").over(deltas(*THREE_FEEDS, every=4), limit=10):
        out.append(each)  # noqa: PERF401
    assert [type(each) for each in out] == [Element, Unfinished]
    assert out[1].reason == "not complete within 10 seconds" and CALLS == [("closed", 10)]


async def test_an_error_with_which_a_stream_ends_at_the_limit_is_its_own() -> None:
    async def source() -> AsyncIterator[str]:
        try:
            yield '{"plan_id": "p1",'
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            raise ConnectionError("gone") from None

    out = []

    async def read() -> None:
        async for each in TypedPartials(Plan, "field").over(source(), limit=10):
            out.append(each)  # noqa: PERF401

    with pytest.raises(ConnectionError):
        await read()
    assert out[-1].reason == "ConnectionError: gone"


@pytest.mark.parametrize("limit", [0, -1, float("nan")])
async def test_over_an_async_iterator_a_limit_that_is_none_is_refused(limit: float) -> None:
    source = deltas(*THREE_FEEDS)
    with pytest.raises(ValueError, match="limit is a number of seconds above 0"):
        await anext(TypedPartials(Plan).over(source, limit=limit))
    await source.aclose()


async def test_over_an_async_iterator_errors_come_after_what_was_usable() -> None:
    out = []
    source = deltas(*THREE_FEEDS[:2], fault=True)
    with pytest.raises(ConnectionError):  # noqa: PT012
        async for each in TypedPartials(Plan, "element").over(source):
            out.append(each)  # noqa: PERF401
    assert [type(each) for each in out] == [Element, Unfinished]
    assert out[1].reason == "ConnectionError: gone"


# ── tellings ─────────────────────────────────────────────────────────────────────────────────────


async def test_the_patches_of_a_late_viewer_begin_with_all_there_is() -> None:
    typed = TypedPartials(Told)
    (partial,) = typed.take([Patch((), "set", {"text": "The blade", "lines": [{"who": "a"}]})])
    assert partial.text == "The blade" and partial.lines == [{"who": "a"}]
    assert partial.state("lines", 0, "who") is GROWING
    typed.take([Patch(("text",), "append", " bites."), Patch(("lines", 1), "set", {"who": "b"})])
    (*_, final) = typed.take([Patch((), "done", None), Patch(("text",), "append", "!")])
    assert typed.take([Patch((), "set", {})]) == [] == typed.finish()
    assert final == Told(text="The blade bites.", lines=[{"who": "a"}, {"who": "b"}])


async def test_the_lines_of_the_readme_work_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    readme = Path(__file__).parent.parent.joinpath("README.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (code,) = (block for block in blocks if "over(" in block)
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(code, "README.md", "exec", dont_inherit=True), names)
    plan = await names["follow"](deltas('{"goal":"Fl', 'ee","steps":["run","hi', 'de"]}'))
    assert plan.steps == ["run", "hide"]
    assert capsys.readouterr().out.splitlines() == [
        "Fl growing []",
        "Flee done ['run']",
        "Flee done ['run', 'hide']",
    ]
    assert (
        await names["follow"](deltas('{"goal":"Flee","steps":["run","hi', "", "", every=4)) is None
    )
    assert "cut off: not complete within 10 seconds ['run']" in capsys.readouterr().out


def growing() -> Telling[Told]:
    return Telling("t1", Told, lambda _: None, lambda *_: None)


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_text_of_no_characters_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="limit is a number of characters from 1"):
        await anext(growing().text(limit=limit))


async def test_the_text_so_far_grows_by_what_came() -> None:
    telling = growing()
    whole, short = telling.text(), telling.text(limit=5)
    shown = []
    for text in ("The b", "lade", " bites."):
        telling.on_event(Patched("t1", (), text, (), 0.0))
        shown.append(await anext(whole))
    assert shown == ["The b", "The blade", "The blade bites."]
    assert await anext(short) == "The …"
    for reader in (whole, short):
        await reader.aclose()


async def test_public_names_are_there() -> None:
    assert foretell.Final is Final and foretell.apply is apply
    assert issubclass(foretell.PatchError, ValueError) and foretell.Partial is Partial
    assert foretell.partials is partials and foretell.TypedPartials is TypedPartials
    assert foretell.PartialOf is PartialOf and foretell.Unfinished is Unfinished
    assert foretell.MISSING is MISSING


def test_a_stray_bracket_before_the_value_is_not_taken_for_it() -> None:
    text = 'As the rules [1] say {roughly}: {"name": "Grik"} and that is that.'

    class Named(BaseModel):
        name: str

    typed = TypedPartials(Named)
    last = [*typed.feed(text), *typed.finish()][-1]
    assert last == Named(name="Grik")
    named = TypedPartials(dict[str, Named])
    assert [*named.feed('By rule [1]: {"a": {"name": "b"}}'), *named.finish()][-1] == {
        "a": Named(name="b")
    }
    many = TypedPartials(list[Named])
    assert [*many.feed('{"name": "a"}\n{"name": "b"}'), *many.finish()][-1] == [
        Named(name="a"),
        Named(name="b"),
    ]


class Counted(int):
    """A place in the list of errors that knows how often it has been looked at."""

    looks = 0

    def __lt__(self, other: int) -> bool:
        Counted.looks += 1
        return int(self) < other

    def __hash__(self) -> int:
        Counted.looks += 1
        return int(self)


@pytest.mark.parametrize("emit", ["piece", "element"])
def test_elements_that_are_not_valid_cost_the_same_however_many_there_are(
    emit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was wrong before is not looked at again, and not copied, for one element more."""
    typed = TypedPartials(list[int], emit)
    typed.feed("[")
    out = []
    add = Errors.add

    def counting(self: Errors, errors: Any) -> None:
        add(self, errors)
        for places in self._inside.values():
            places[-1] = Counted(places[-1])

    monkeypatch.setattr(Errors, "add", counting)
    costs = []
    for _ in range(300):
        Counted.looks = 0
        out += typed.feed('"a",')
        costs.append(Counted.looks)
    assert costs[-1] <= costs[1] + 2 and len(out) >= 300
    assert [len(each.errors) for each in out[-3:]] == (
        [1, 1, 1] if emit == "element" else [298, 299, 300]
    )


def test_errors_put_right_later_are_still_those_of_their_moment() -> None:
    class Kind(BaseModel):
        steps: Annotated[list[Step], BeforeValidator(lambda steps: [s for s in steps if "x" in s])]
        n: int = 0

    shown = emitted(TypedPartials(Kind), '{"n":"a","steps":[{"act":"?"},{"act":"MoveTo"}]}')[:-1]
    paths = [[error.path for error in partial.errors] for partial in shown]
    assert [("n",), ("steps", 0, "act")] in paths and paths[-1] == [("n",)]
    wrong = next(each for each in shown if len(each.errors) == 2)
    assert [error.path for error in wrong.steps.errors] == [("steps", 0, "act")]


def test_a_look_at_a_growing_text_copies_only_what_came() -> None:
    """Where a text is copied, the old and the new one are held for a moment."""
    typed = TypedPartials(Told)
    typed.take([Patch((), "set", {}), Patch(("text",), "set", "x" * 1_000_000)])
    more = [Patch(("text",), "append", "z" * 100)]
    gc.collect()
    tracemalloc.start()
    try:
        (partial,) = typed.take(more)
        assert len(partial.text) == 1_000_100  # from here on the text is one that is traced
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        for at in range(2, 100):
            (partial,) = typed.take(more)
            assert len(partial.text) == 1_000_000 + 100 * at
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - before < 200_000


# ── the end of a text ────────────────────────────────────────────────────────────────────────────


class Logged(BaseModel):
    steps: list[str]
    n: int = 0


CUT_QUOTES = "{'steps':['a','b'"  # only the end shows that the quote is no apostrophe


@pytest.mark.parametrize("reason", [None, "the source broke"])
@pytest.mark.parametrize("emit", ["piece", "patch", "element", "field", "sentence"])
def test_what_only_the_end_completes_is_emitted_before_the_last(
    emit: Any, reason: str | None
) -> None:
    typed = TypedPartials(Logged, emit)
    out = typed.feed(CUT_QUOTES) + typed.finish(reason=reason)
    last = out[-1]
    assert isinstance(last, Unfinished)
    assert last.partial.finished("steps") == ["a", "b"]
    assert last.reason == (reason or "cut off before its end")
    if emit == "element":
        assert [each.value for each in out[:-1]] == ["a", "b"]
    elif emit == "sentence":
        assert out[:-1] == ["a", "b"]
    elif emit != "field":
        assert out[-2].finished("steps") == ["a", "b"]


def test_a_list_that_only_the_end_closes_is_not_whole_where_the_source_broke() -> None:
    for reason, whole in ((None, True), ("the source broke", False)):
        typed = TypedPartials(list[Step], "element")
        first, last = typed.feed('{"act":"Attack"}') + typed.finish(reason=reason)
        assert first.value == Step(act="Attack")
        assert (last == [Step(act="Attack")]) is whole and isinstance(last, Unfinished) is not whole


async def read(source: AsyncIterator[Any], out: list[Any]) -> None:
    async for each in source:
        out.append(each)  # noqa: PERF401


async def test_a_limit_and_an_error_leave_what_only_the_end_completes() -> None:
    async def slow(fail: bool) -> AsyncIterator[str]:
        yield CUT_QUOTES
        if fail:
            raise ConnectionError("gone")
        await asyncio.sleep(60)

    out = [each async for each in TypedPartials(Logged, "element").over(slow(False), limit=5)]
    assert [each.value for each in out[:-1]] == ["a", "b"]
    assert out[-1].reason == "not complete within 5 seconds"
    out.clear()
    broken = TypedPartials(Logged, "element").over(slow(True))
    with pytest.raises(ConnectionError):
        await read(broken, out)
    assert [each.value for each in out[:-1]] == ["a", "b"]
    assert out[-1].reason == "ConnectionError: gone"


async def test_the_limit_holds_where_the_source_never_waits() -> None:
    async def ready() -> AsyncIterator[str]:
        yield '{"steps":["a","b'
        yield '","c"'
        yield '],"n":1}'

    out = []
    async for each in TypedPartials(Logged).over(ready(), limit=5):
        out.append(each)
        await asyncio.sleep(3)  # the reader takes the time
    assert [type(each) for each in out] == [PartialOf, PartialOf, Unfinished]
    assert out[-1].reason == "not complete within 5 seconds"
    assert out[-1].partial.finished("steps") == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"steps":[],"n":1,"n":2}', "the name 'n' comes twice"),
        (b'{"steps":["\xff"]}', "text that is not valid Unicode, replaced by U+FFFD"),
    ],
)
def test_a_whole_from_which_something_was_lost_is_no_final(text: Any, reason: str) -> None:
    *_, last = TypedPartials(Logged).feed(text)
    assert isinstance(last, Unfinished) and last.reason == reason
    assert isinstance(last.partial.final, Logged)


def test_a_strict_parser_has_the_last_word() -> None:
    typed = TypedPartials(Logged, "element", parser=PartialParser(strict=True))
    assert [type(each) for each in typed.feed('{"steps":["a"]}')] == [Element]
    assert typed.feed(" \n") == [] and not typed.ended
    assert typed.finish() == [Logged(steps=["a"])]
    typed = TypedPartials(Logged, "field", parser=PartialParser(strict=True))
    typed.feed('{"steps":["a"]} trailing')
    (last,) = typed.finish()
    assert isinstance(last, Unfinished) and "'t' where the end belongs" in last.reason


# ── unions ───────────────────────────────────────────────────────────────────────────────────────


class Move(BaseModel):
    act: Literal["move"]
    to: str = Field(alias="To")
    when: dt.date | None = None


class Hit(BaseModel):
    act: Literal["hit"]
    target: str


class Tagged(BaseModel):
    steps: list[Annotated[Move | Hit, Field(discriminator="act")]]


class Untagged(BaseModel):
    steps: list[Move | Hit]


TAG_LAST = '{"steps":[{"To":"The gate. ","when":"2020-01-01","act":"move"}]}'
TAG_FIRST = '{"steps":[{"act":"move","To":"The gate. ","when":"2020-01-01"}]}'


@pytest.mark.parametrize("model", [Tagged, Untagged])
@pytest.mark.parametrize("text", [TAG_FIRST, TAG_LAST])
@pytest.mark.parametrize("size", [1, 5, 999])
def test_parts_of_a_union_come_when_it_is_known_what_they_are(
    model: type[Any], text: str, size: int
) -> None:
    *fields, final = emitted(TypedPartials(model, "field"), text, size)
    assert isinstance(final, model)
    step = {each.path: each.value for each in fields if len(each.path) == 3}
    assert len(fields) == 4 and all(not each.errors for each in fields)
    assert step == {
        ("steps", 0, "act"): "move",
        ("steps", 0, "to"): "The gate. ",
        ("steps", 0, "when"): dt.date(2020, 1, 1),
    }
    assert emitted(TypedPartials(model, "sentence"), text, size) == ["The gate.", final]
    spoken = emitted(TypedPartials(model, "sentence"), text, size)[0]
    assert spoken.path == ("steps", 0, "to")


@pytest.mark.parametrize("model", [Tagged, Untagged])
def test_a_moment_before_a_union_was_known_stays_as_it_was(model: type[Any]) -> None:
    typed = TypedPartials(model)
    kept: list[tuple[Any, str, Any]] = []
    for piece in pieces(TAG_LAST, 1):
        for each in typed.feed(piece):
            raw = each.raw() if isinstance(each, PartialOf) else None
            kept.append((each, repr(each), raw))
    final = kept.pop()[0]
    assert isinstance(final, model)
    kept = [each for each in kept if each[2].get("steps")]
    tags = [each for each in kept if "act" in each[2]["steps"][0] and not each[0].done("steps", 0)]
    assert len(tags) > 4
    for each, shown, raw in kept:
        assert repr(each) == shown
        assert not isinstance(each, PartialOf) or each.raw() == raw
    shown_at = [each for each, _, raw in kept if "act" not in raw["steps"][0]]
    early = shown_at[-1].steps[0]
    assert isinstance(early, PartialDict) and early["when"] == "2020-01-01"
    assert early.state("when") is GROWING and list(early) == ["To", "when"]
    if model is Tagged:  # half a tag is no tag
        assert all("act" not in each.steps[0] or each.done("steps", 0, "act") for each, *_ in tags)


def test_what_is_none_of_a_union_stays_as_it_came() -> None:
    for model in (Tagged, Untagged):
        text = '{"steps":[{"To":"x","act":"fly"},{"act":"hit","target":"ash"}]}'
        *elements, last = emitted(TypedPartials(model, "element"), text, 4)
        assert elements[0].value["To"] == "x" and elements[0].errors and elements[0].path[-1] == 0
        assert elements[1].value == Hit(act="hit", target="ash")
        assert isinstance(last, Unfinished) and last.partial.finished("steps") == [
            Hit(act="hit", target="ash")
        ]
        fields = emitted(TypedPartials(model, "field"), text, 4)[:-1]
        assert [each.path for each in fields if len(each.path) == 3] == [
            ("steps", 1, "act"),
            ("steps", 1, "target"),
        ]


def test_unions_of_lists_and_unions_within_unions_are_resolved() -> None:
    class Deep(BaseModel):
        either: list[Move] | list[dt.date]
        tool: list[Tagged | Untagged | Step]

    text = '{"either":["2020-01-01"],"tool":[{"act":"Attack"},' + TAG_LAST + "]}"
    *elements, final = emitted(TypedPartials(Deep, "element"), text, 3)
    assert final == Deep.model_validate_json(text)
    assert elements[0] == Element(("either", 0), dt.date(2020, 1, 1), ())
    assert [each.path for each in elements[1:]] == [
        ("tool", 0),
        ("tool", 1, "steps", 0),
        ("tool", 1),
    ]


class First(BaseModel):
    a: int


class Second(BaseModel):
    a: int


def test_the_order_of_a_union_counts() -> None:
    kinds: list[Any] = [First | Second, Second | First]
    kinds += [list[First | Second], list[Second | First]]
    for kind in kinds:
        text = '[{"a":1}]' if str(kind).startswith("list") else '{"a":1}'
        got = emitted(TypedPartials(kind), text)[-1]
        expected = TypeAdapter(kind).validate_json(text)
        assert type(got) is type(expected) and got == expected


def test_a_field_under_two_of_its_names_is_told_once() -> None:
    class Dup(BaseModel):
        x: int = Field(validation_alias=AliasChoices("a", "b"))

    *fields, _ = emitted(TypedPartials(Dup, "field"), '{"b":1,"a":2}')
    assert fields == [FieldDone(("x",), 1, ())]


# ── where the value begins ───────────────────────────────────────────────────────────────────────


@dataclasses.dataclass
class Plain:
    a: int


@pytest.mark.parametrize(
    "kind", [First, Plain, First | None, First | Second, dict[str, int], RootModel[dict[str, int]]]
)
def test_a_bracket_in_the_preamble_is_no_object(kind: Any) -> None:
    assert emitted(TypedPartials(kind), 'see [1]: {"a":1}')[-1] == TypeAdapter(kind).validate_json(
        '{"a":1}'
    )


@pytest.mark.parametrize("kind", [list[First], Sequence[First], RootModel[list[First]]])
def test_an_object_one_after_another_is_a_list_where_one_is_expected(kind: Any) -> None:
    assert emitted(TypedPartials(kind), '{"a":1}\n{"a":2}')[-1] == TypeAdapter(kind).validate_json(
        '[{"a":1},{"a":2}]'
    )


def test_an_object_or_null_may_be_null() -> None:
    assert emitted(TypedPartials(First | None), "null")[-1:] == [None]  # type: ignore[arg-type]
    assert emitted(TypedPartials(First | str), '"text"')[-1:] == ["text"]  # type: ignore[arg-type]
    assert isinstance(emitted(TypedPartials(First), "null")[-1], Unfinished)


# ── validators that look around ──────────────────────────────────────────────────────────────────


def below(value: int, info: ValidationInfo) -> int:
    if value >= int(info.data["limit"]):
        raise ValueError("too much")
    return value


class Bounded(BaseModel):
    limit: int
    xs: list[Annotated[int, AfterValidator(below)]]
    by_name: dict[str, list[Annotated[int, AfterValidator(below)]]] = {}


@pytest.mark.parametrize("size", [1, 7, 999])
def test_a_validator_within_a_list_sees_the_fields_before(size: int) -> None:
    text = '{"limit":5,"xs":[1,7,3],"by_name":{"a":[4]}}'
    *elements, last = emitted(TypedPartials(Bounded, "element"), text, size)
    assert [(each.path[-1], each.value, bool(each.errors)) for each in elements] == [
        (0, 1, False),
        (1, 7, True),
        (2, 3, False),
        (0, 4, False),
    ]
    assert [error.path for error in last.errors] == [("xs", 1)]
    assert last.errors[0].message == "Value error, too much"


def test_elements_wait_for_the_fields_before_that_their_validators_see() -> None:
    typed = TypedPartials(Bounded, "element")
    assert typed.feed('{"xs":[1,2],') == []
    assert [each.value for each in typed.feed('"limit":5,')] == [1, 2]
    assert typed.feed("}") == [Bounded(limit=5, xs=[1, 2])]


def test_fields_left_waiting_at_the_end_are_checked_in_the_order_of_the_model() -> None:
    def after(value: int, info: ValidationInfo) -> int:
        return value + int(info.data.get("b", 100))

    class Chain(BaseModel):
        a: int = 0
        b: Annotated[int, AfterValidator(after)] = 0
        c: Annotated[int, AfterValidator(after)] = 0

    *fields, final = emitted(TypedPartials(Chain, "field"), '{"c":1,"b":2}')
    assert [(each.path, each.value) for each in fields] == [(("b",), 102), (("c",), 103)]
    assert final == Chain.model_validate({"b": 2, "c": 1})


# ── what is refused ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("limit", ["5", True, 0, -1, float("nan")])
def test_a_limit_is_a_number_above_0(limit: Any) -> None:
    with pytest.raises(ValueError, match="limit is a number of seconds above 0, not"):
        partials(Logged, limit=limit)


def test_sentences_are_of_text() -> None:
    with pytest.raises(ValueError, match="no text at 'n'"):
        partials(Logged, emit="sentence", at="n")
    partials(Logged, emit="sentence", at="steps.*")
    partials(Tagged, emit="sentence", at="steps.*.to")


async def test_a_timeout_of_the_source_is_its_own_error_and_not_the_limit() -> None:
    async def impatient() -> AsyncIterator[str]:
        yield '{"steps":["a"'
        raise TimeoutError("the model took too long")

    out: list[Any] = []
    with pytest.raises(TimeoutError, match="the model took too long"):
        await read(TypedPartials(Logged, "element").over(impatient(), limit=5), out)
    assert out[-1].reason == "TimeoutError: the model took too long"


def test_a_whole_that_is_shorter_than_what_was_shown_is_no_growth_of_it() -> None:
    typed = TypedPartials(Logged, "element")
    typed.feed('{"steps":["a","b"')
    assert typed.finish(Final({"steps": ["a"]})) == [Logged(steps=["a"])]


@pytest.mark.parametrize("late", [False, True])
def test_a_synchronous_source_is_held_to_the_limit_too(late: bool) -> None:
    async def run() -> list[Any]:
        loop = asyncio.get_running_loop()
        out: list[Any] = []
        source: Subject[str] = Subject()
        source.pipe(partials(Logged, emit="element", limit=5)).subscribe(out.append)
        source.on_next('{"steps":["a"')
        started, at = loop.time, loop.time() + (6 if late else 4)
        loop.time = lambda: at  # type: ignore[method-assign]  # no turn of the loop in between
        source.on_next("]}")
        loop.time = started  # type: ignore[method-assign]
        return out

    *_, last = asyncio.run(run())
    assert isinstance(last, Unfinished if late else Logged)


def test_a_text_that_nobody_looks_at_lies_in_few_pieces() -> None:
    typed = TypedPartials(Plan)
    typed.feed('{"plan_id":"')
    tracemalloc.start()
    for _ in range(100_000):
        typed.feed("wxyz")
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 3 * 400_000  # a piece alone takes thirteen times its text
    assert typed.partial.plan_id == "wxyz" * 100_000


def test_a_type_that_cannot_be_hashed_is_a_type() -> None:
    kind: Any = Annotated[list[int], Field(json_schema_extra={"examples": [[1]]}), ["unhashable"]]
    with pytest.raises(TypeError):
        hash(kind)
    assert emitted(TypedPartials(kind), "[1,2]")[-1] == [1, 2]


class Toll(BaseModel):
    tool: str
    n: int | None = None


class Tolls(BaseModel):
    steps: list[Toll]
    sums: list[int] = []


def all_of(text: str, emit: Any, size: int = 5) -> list[Any]:
    typed: TypedPartials[Tolls] = TypedPartials(Tolls, emit)
    out = [each for at in range(0, len(text), size) for each in typed.feed(text[at : at + size])]
    return out + typed.finish()


def test_a_step_that_lost_something_is_marked_and_those_after_it_come_as_they_close() -> None:
    text = '{"steps":[{"tool":"a"},{"tool":"b","n":1_000},{"tool":"c"}]}'
    first, broken, later, last = all_of(text, "element")
    assert first == (("steps", 0), Toll(tool="a"), ())
    assert broken.path == ("steps", 1) and broken.value == Toll(tool="b")
    assert [(each.path, each.message, each.type) for each in broken.errors] == [
        (("steps", 1, "n"), "'1_000' is no JSON value", "lost")
    ]
    assert later == (("steps", 2), Toll(tool="c"), ())
    assert isinstance(last, Unfinished)
    assert last.reason == "'1_000' is no JSON value (character 39)"
    assert [each.path for each in last.partial.errors] == [("steps", 1, "n")]
    assert last.partial.final == Tolls(steps=[Toll(tool="a"), Toll(tool="b"), Toll(tool="c")])


def test_a_step_that_breaks_off_is_marked_and_those_after_it_come_at_the_end() -> None:
    text = '{"steps":[{"tool":"a"},{"tool":"he said "hi" to","n":5},{"tool":"c"}],"sums":[2]}'
    steps = all_of(text, "element")
    assert [each.path for each in steps[:-1]] == [
        ("steps", 0),
        ("steps", 1),
        ("steps", 2),
        ("sums", 0),
    ]
    assert [each.path for each in steps[1].errors] == [("steps", 1, "tool")]
    assert steps[1].errors[0].type == "lost"
    assert steps[2] == (("steps", 2), Toll(tool="c"), ())
    assert isinstance(steps[-1], Unfinished)
    fields = all_of(text, "field")
    assert [each.path[-1] for each in fields[:-1]] == [
        "tool", "tool", "n", "tool", "steps", "sums",
    ]  # fmt: skip


def test_what_is_lost_in_a_list_has_its_own_error_at_its_own_place() -> None:
    _, one, two, three, last = all_of('{"steps":[{"tool":"a"}],"sums":[1,2d6,3]}', "element")
    assert (one.value, three.value) == (1, 3)
    assert {each.type for each in two.errors} == {"int_type", "lost"}
    assert {each.path for each in two.errors} == {("sums", 1)}
    assert isinstance(last, Unfinished)


def test_what_is_lost_is_named_by_the_models_names() -> None:
    class Aliased(BaseModel):
        count: int = Field(default=0, alias="n")

    typed: TypedPartials[Aliased] = TypedPartials(Aliased)
    last = typed.feed('{"n": 2d6}')[-1]
    assert isinstance(last, Unfinished)
    assert [each.path for each in last.partial.errors] == [("count",)]


@pytest.mark.parametrize("size", [1, 3, 999])
def test_a_model_takes_integers_of_any_size_exactly(size: int) -> None:
    big = 123456789012345678901234567890
    text = f'{{"steps":[{{"tool":"a","n":-{big}}}],"sums":[1,{big}]}}'
    out = all_of(text, "piece", size)
    assert out[-1] == Tolls(steps=[Toll(tool="a", n=-big)], sums=[1, big])
    assert out[-1] == Tolls.model_validate_json(text)
    number: TypedPartials[int] = TypedPartials(int)
    number.feed(str(big))
    assert number.finish()[-1] == big


def test_patches_to_what_is_complete_do_not_fit() -> None:
    typed: TypedPartials[Tolls] = TypedPartials(Tolls)
    typed.feed('{"steps":[{"tool":"a"}],')
    for path in (("steps", 0, "n"), ("steps", 1), ("steps", 0, "tool")):
        with pytest.raises(ValueError, match="does not fit"):
            typed.take([Patch(path, "set", 1)])
    typed.take([Patch(("steps", 0, "tool"), "done", None)])  # again, no change
    assert typed.feed('"sums":[]}')[-1] == Tolls(steps=[Toll(tool="a")])


def test_what_was_validated_in_parts_is_kept_once() -> None:
    typed: TypedPartials[Tolls] = TypedPartials(Tolls)
    before = typed.feed('{"steps":[{"tool":"a","n":1},')[-1]
    [final] = typed.feed('{"tool":"b"}]}')[-1:]
    assert isinstance(final, Tolls)
    assert before.steps[0] is final.steps[0]
    assert before.steps == [Toll(tool="a", n=1)]


@pytest.mark.parametrize("lenient", [False, True])
def test_what_was_emitted_stays_what_it_was_where_validating_again_makes_another(
    lenient: bool,
) -> None:
    class Told(BaseModel):
        tool: str
        number: int = Field(default_factory=iter(range(99)).__next__)

        def __eq__(self, other: object) -> bool:
            return lenient or super().__eq__(other)

        __hash__ = None  # type: ignore[assignment]

    class All(BaseModel):
        steps: list[Told]

    typed: TypedPartials[All] = TypedPartials(All)
    before = typed.feed('{"steps":[{"tool":"a"},')[-1]
    was = before.steps[0]
    assert was.number == 0
    final = typed.feed('{"tool":"b"}]}')[-1]
    assert final.steps[0].number != 0
    assert before.steps[0] is was


def test_a_value_that_cannot_be_compared_is_kept_as_it_was() -> None:
    class Odd(BaseModel):
        n: Any

        @field_validator("n", mode="before")
        @classmethod
        def odd(cls, _: Any) -> Any:
            return Uncomparable()

    typed: TypedPartials[list[Odd]] = TypedPartials(list[Odd])
    final = typed.feed('[{"n":1},{"n":2}]')[-1]
    assert [type(each.n) for each in final] == [Uncomparable, Uncomparable]


class Uncomparable:
    def __eq__(self, _: object) -> bool:
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


async def test_of_no_text_it_is_said_that_there_is_no_value_in_it() -> None:
    async def nothing() -> AsyncIterator[str]:
        return
        yield ""

    silent: TypedPartials[dict[str, int]] = TypedPartials(dict[str, int])
    fed: TypedPartials[dict[str, int]] = TypedPartials(dict[str, int])
    last = [
        silent.finish()[-1],
        [*fed.feed(""), *fed.finish()][-1],
        [each async for each in TypedPartials(dict[str, int]).over(nothing())][-1],
    ]
    assert [each.reason for each in last] == ["no JSON object in the text"] * 3
    taken: TypedPartials[dict[str, int]] = TypedPartials(dict[str, int])
    taken.take([Patch((), "set", {})])
    assert taken.finish()[-1].reason == "cut off before its end"


@pytest.mark.parametrize("begin", ["[", '{"a":'])
def test_a_partial_of_the_deepest_value_that_is_read_can_be_had(begin: str) -> None:
    typed: TypedPartials[Any] = TypedPartials(Any, parser=PartialParser(max_depth=512))
    assert len([each for _ in range(512) for each in typed.feed(begin)]) > 500
    assert isinstance(typed.finish()[-1], Unfinished)
