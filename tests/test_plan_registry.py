"""The tools of plans: the shipped ones, a game's own, bad ones, and the schema made of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell import ConfigError, Registry
from foretell.testing import ScriptedModel

CORE = ["MoveTo", "Attack", "TakeCover", "Reload", "Scan", "Wait", "ThrowSmoke", "Retreat"]
POSITION = {"MoveTo", "ThrowSmoke", "ThrowExplosive", "AoEAttack", "TakeCover"}
TARGET = {"Attack", "Approach", "Retreat", "MarkTarget", "Distract"}
SIMPLE = {"Reload", "Scan", "Wait", "Block", "Heal"}
REST: dict[str, Any] = {"name": "Rest", "doc": "Stay.", "safe": True}


def tool(**given: Any) -> dict[str, Any]:
    return {"name": "Hit", "doc": "Hit somebody.", **given}


def test_fifteen_tools_in_three_groups_ship_and_eight_are_the_core() -> None:  # 3-9
    full, core = Registry.full(), Registry.core()
    assert list(core) == CORE
    assert len(full) == 15 and set(core) < set(full)
    grouped = {group: {t.name for t in full.values() if t.group == group} for group in
               ("position", "target", "simple")}  # fmt: skip
    assert grouped == {"position": POSITION, "target": TARGET, "simple": SIMPLE}
    assert core.safe.name == "Wait"


def test_the_settings_choose_which_ship() -> None:  # 3-9
    model = ScriptedModel()
    assert len(foretell.Game({"plans": {"tools": "full"}}, model=model).registry) == 15
    assert len(foretell.Game(model=model).registry) == 8


def test_a_registry_is_the_same_after_a_trip_through_json(tmp_path: Path) -> None:
    full = Registry.full()
    path = tmp_path / "tools.json"
    path.write_bytes(orjson.dumps(full.as_json()))
    again = Registry.of(path)
    assert again == full and again.digest == full.digest and hash(again) == hash(full)
    assert again != Registry.core()
    assert foretell.Game(tools=path, model=ScriptedModel()).registry == full


BAD: list[tuple[Any, str]] = [
    ([], "there are 0"),
    ([tool()], "none is safe"),
    ([REST, REST], "Rest is there twice"),
    ([REST, 3], "tool 2"),
    ([REST, tool(name="no good")], "'no good' is no name"),
    ([REST, tool(params={"x": {"kind": "colour"}})], "Hit: params.x.kind"),
    (
        [REST, tool(params={"x": {"kind": "number", "low": 3, "high": 1}})],
        "low 3 is more than high",
    ),
    ([REST, tool(params={"x": {"kind": "choice"}})], "choices belong to a choice"),
    ([REST, tool(params={"do": {"kind": "text"}})], "no parameter can be called 'do'"),
    (
        [REST, tool(params={"a": {"kind": "target"}, "b": {"kind": "target"}})],
        "more than one target",
    ),
    ([REST, tool(needs=[{"path": "others.{target}.hp", "test": "above"}])], "it has no target"),
    ([REST, tool(needs=[{"path": "me.hp", "test": "looks"}])], "Hit: needs.0.test"),
    ([REST, tool(effects=[{"path": "me.pos", "params": ["x"]}])], "no parameter of it"),
    ([REST, tool(aim="at")], "aim is for tools with parameters x and y"),
    (
        [REST, tool(safe=True, needs=[{"path": "me.hp", "test": "there"}])],
        "safe only without needs",
    ),
    ([REST, tool(colour="red")], "Hit: colour"),
]


@pytest.mark.parametrize(("tools", "reason"), BAD)
def test_a_bad_registry_is_refused_in_one_line_that_names_the_tool(
    tools: list[Any], reason: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        Registry.of({"tools": tools})
    assert reason in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize("source", [{}, {"tools": 3}, 7, "nowhere.json"])
def test_what_is_no_registry_at_all_is_refused(source: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        foretell.Game(tools=source, model=ScriptedModel())
    assert "\n" not in str(refused.value)


def objects(schema: Any) -> list[Mapping[str, Any]]:
    if isinstance(schema, list):
        return [found for each in schema for found in objects(each)]
    if not isinstance(schema, Mapping):
        return []
    return [schema, *(found for each in schema.values() for found in objects(each))]


@pytest.mark.parametrize("registry", [Registry.core(), Registry.full()])
def test_the_schema_has_nothing_that_structured_output_refuses(registry: Registry) -> None:
    refused = {"minimum", "maximum", "minItems", "maxItems", "minLength", "maxLength", "default"}
    for each in objects(registry.schema):
        assert not refused & set(each)
        if each.get("type") == "object":
            assert each["additionalProperties"] is False
            assert each["required"] == list(each["properties"])
    steps = registry.schema["properties"]["steps"]["items"]["anyOf"]
    assert [step["properties"]["do"]["const"] for step in steps] == list(registry)
