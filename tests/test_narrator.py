"""The narrator: its prose is true to the facts, its JSON to the schema, its pace to the profile."""

from __future__ import annotations

import asyncio
import json
import math
import re
from contextlib import aclosing
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from itertools import pairwise, product
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from foretell.operators.narration import schema_of
from foretell.operators.slots import fill
from foretell.streams.clock import run_virtual
from foretell.streams.models import (
    Delta,
    Message,
    ModelBadRequest,
    ModelEvent,
    ModelNotFound,
    ModelOverloaded,
    Request,
    Stop,
    Usage,
)
from foretell.streams.narrator.engine import Engine, tokens
from foretell.streams.narrator.grammar import tell
from foretell.streams.narrator.lexicon import named
from foretell.streams.narrator.limits import Slots
from foretell.streams.narrator.model import NarratorModel
from foretell.streams.narrator.profiles import PROFILES, Profile, profile
from foretell.streams.narrator.structured import answer
from foretell.streams.narrator.voice import phrases

FALLS = re.compile(
    r"\b(fall|falls|fell|falling|die|dies|died|dead|slain|kill\w*|collaps\w*|crumpl\w*|lifeless"
    r"|corpse|drops|slumps?|toppl\w*|lies still|goes down)\b",
    re.IGNORECASE,
)
WOUNDS = re.compile(
    r"\b(wound|blood|bites|cuts|damage|hurt|gash|pain|strikes home|sinks into|goes home)\b",
    re.IGNORECASE,
)
NUMBER_WORDS = re.compile(
    r"\b(two|three|four|five|six|seven|eight|nine|ten|twice|thrice|hundred|dozen|half)\b",
    re.IGNORECASE,
)

weapons = st.sampled_from(
    [
        "longsword",
        "Greataxe",
        "+1 Warhammer",
        "Longbow",
        "Crossbow, light",
        "javelin",
        "bite",
        "Claws",
        "tail",
        "unarmed strike",
        "Sneak Attack",
        "Spear of Dawn",
        "Twin Daggers",
        "net",
        "Zweihander",
        "sling",
        "knockdown",
        "",
    ]
)
spells = st.sampled_from(
    [
        "fireball",
        "Ray of Frost",
        "Lightning Bolt",
        "Thunderwave",
        "Sacred Flame",
        "Blight",
        "Melf's Acid Arrow",
        "Poison Spray",
        "Magic Missile",
        "Vicious Mockery",
        "Entangle",
        "Wish",
        "Eldritch Blast",
        "Dissonant Whispers",
        "Cone of Cold",
    ]
)
actors = st.sampled_from(["Mira", "Goblin 2", "Dire Wolf", "the Goblin King", "SH1", "orc-3"])
targets = st.sampled_from(["Goblin 2", "Sir Roland", "Dire Wolf", "SH1", "bandit-7", "Ålva"])


def prompt(*tellings: dict[str, Any], **facts: Any) -> str:
    return "Tell it.\nFACTS " + json.dumps({"context": "combat", "tellings": tellings, **facts})


def telling(
    actor: str = "Mira",
    kind: str = "attack",
    name: str = "longsword",
    target: str | None = "Goblin 2",
    result: str = "hit",
    **values: float,
) -> dict[str, Any]:
    action = {"type": kind, "name": name}
    return {"actor": actor, "action": action, "target": target, "result": result, "values": values}


def without_names(text: str, *names: str) -> str:
    for name in ("Goblin 2", "Sir Roland", "Dire Wolf", "SH1", "Bandit 7", "Orc 3", *names):
        text = text.replace(name, "X")
    return text


attacks = st.builds(
    telling, actor=actors, name=weapons, target=targets, result=st.just("hit")
) | st.builds(telling, actor=actors, kind=st.just("cast"), name=spells, target=targets)
forms = st.sampled_from(["full", "part"])
seeds = st.integers(0, 10_000)


def book_texts(entry: Any) -> list[str]:
    """Every phrase below an entry of the phrase book."""
    if isinstance(entry, str):
        return [entry]
    values = entry.values() if isinstance(entry, dict) else entry
    return [text for value in values for text in book_texts(value)]


def test_no_phrase_claims_what_its_place_in_the_book_does_not_allow() -> None:
    book = phrases()
    after = {mood: texts for mood, texts in book["after"].items() if mood != "kill"}
    elements = [{k: v for k, v in e.items() if k != "trace"} for e in book["element"].values()]
    standing = ["open", "hit", "critical", "miss", "save_failed", "save_made", "concealed"]
    standing += ["resisted", "own", "mend", "ward", "deed", "move"]
    for text in book_texts([book[k] for k in standing] + [book["react"], after, elements]):
        assert not FALLS.search(text), text
    for text in book_texts([book["miss"], book["concealed"], book["react"]["unmoved"]]):
        assert not WOUNDS.search(text), text
    for text in book_texts(book["kill"]):
        assert FALLS.search(text), text
    for text in book_texts(book):
        assert not re.search(r"\d|\{", text), text
        assert not NUMBER_WORDS.search(text), text
    assert len(set(book_texts(book))) > 450


@given(attacks, forms, seeds)
def test_a_hit_connects_and_nobody_falls(entry: dict[str, Any], form: str, seed: int) -> None:
    text = tell(prompt(entry, form=form), seed=seed).text
    assert not FALLS.search(text)
    assert "[" not in text and "{" not in text


@given(attacks, forms, seeds)
def test_a_critical_hit_does_not_kill_either(entry: dict[str, Any], form: str, seed: int) -> None:
    text = tell(prompt(entry | {"result": "critical"}, form=form), seed=seed).text
    assert not FALLS.search(text)


@given(attacks, forms, seeds)
def test_a_miss_hurts_nobody(entry: dict[str, Any], form: str, seed: int) -> None:
    text = tell(prompt(entry | {"result": "miss"}, form=form, slots=["damage"]), seed=seed).text
    assert not FALLS.search(text)
    assert not WOUNDS.search(text)
    assert "{damage}" not in text


@given(attacks, forms, seeds, st.sampled_from(["kill", "hit", "critical", "failure"]))
def test_who_has_no_hit_points_left_falls(
    entry: dict[str, Any], form: str, seed: int, result: str
) -> None:
    values = {} if result == "kill" else {"target_hp": -3}
    text = tell(prompt(entry | {"result": result, "values": values}, form=form), seed=seed).text
    assert FALLS.search(text)
    assert "staggers" not in text and "HP" not in text


@given(
    attacks,
    forms,
    seeds,
    st.sampled_from(
        ["hit", "miss", "critical", "success", "failure", "kill", "grazed", "resisted"]
    ),
    st.sets(st.sampled_from(["damage", "target_hp"])),
    st.booleans(),
)
def test_what_is_not_known_yet_stands_as_a_hole_and_no_other_number_is_said(
    entry: dict[str, Any], form: str, seed: int, result: str, slots: set[str], save: bool
) -> None:
    asked = prompt(entry | {"result": result, "save": save}, form=form, slots=sorted(slots))
    text = without_names(tell(asked, seed=seed).text)
    assert set(re.findall(r"\{(\w+)\}", text)) <= slots
    assert all(text.count("{" + slot + "}") <= 1 for slot in slots)
    assert not re.search(r"\d", re.sub(r"\{\w+\}", "", text))
    assert not NUMBER_WORDS.search(text)
    if "damage" in slots and (result in ("hit", "critical") or (result == "failure" and save)):
        assert "{damage}" in text


def test_given_numbers_are_told() -> None:
    text = tell(prompt(telling(damage=17, target_hp=23))).text
    assert "17 damage" in text
    assert "23 HP" in text


@given(attacks, forms, seeds)
def test_filling_the_holes_gives_what_would_have_been_told_with_the_numbers(
    entry: dict[str, Any], form: str, seed: int
) -> None:
    """A variant and the telling it stands for differ in nothing but the numbers' places."""
    entry |= {"target": "Goblin 2"}
    with_holes = tell(prompt(entry, form=form, slots=["damage"]), seed=seed).text
    assert with_holes.replace("{damage}", "12").count("12 damage") == 1


@given(attacks, seeds)
def test_the_same_prompt_and_seed_give_the_same_words(entry: dict[str, Any], seed: int) -> None:
    assert tell(prompt(entry), seed=seed) == tell(prompt(entry), seed=seed)


def test_other_seeds_and_other_moments_vary() -> None:
    by_seed = {tell(prompt(telling()), seed=seed).text for seed in range(60)}
    by_moment = {tell(f"Round {n}.\n" + prompt(telling())).text for n in range(60)}
    assert len(by_seed) > 55
    assert len(by_moment) > 55


def test_what_was_just_told_is_not_told_again() -> None:
    said, openings = "", []
    for turn in range(8):
        text = tell(f"Round {turn}.\n" + prompt(telling(result="miss")), said).text
        said += "\n" + text
        openings.append(text.split(".")[0])
    assert len(set(openings)) == len(openings)


def test_parts_for_several_targets_do_not_repeat_each_other() -> None:
    burnt = telling("Elara", "cast", "fireball", result="failure") | {"save": True}
    parts = [
        tell(prompt(burnt | {"target": f"Goblin {n}"}, form="part", slots=["damage"]))
        for n in range(1, 6)
    ]
    shapes = [re.sub(r"Goblin \d", "X", part.text).split(".")[0] for part in parts]
    assert len(set(shapes)) == 5
    assert all(f"Goblin {n}" in part.text for n, part in enumerate(parts, 1))


def test_a_full_telling_of_several_targets_names_each_with_its_own_numbers() -> None:
    text = tell(
        prompt(
            telling("Elara", "cast", "fireball", "Goblin 1", "failure", damage=28, target_hp=0),
            telling("Elara", "cast", "fireball", "Goblin 2", "success", damage=14, target_hp=3),
            telling("Elara", "cast", "fireball", "Goblin 3", "failure", damage=29, target_hp=2),
        )
    ).text
    for said in ("Goblin 1", "28 damage", "Goblin 2", "14 damage", "3 HP", "Goblin 3", "29 damage"):
        assert text.count(said) == 1, said
    assert len(FALLS.findall(text)) == 1
    assert text.index("Goblin 1") < text.index("Goblin 2") < text.index("Goblin 3")


def test_a_hole_in_a_text_about_several_targets_would_be_ambiguous_and_is_left_out() -> None:
    both = [telling(target="Goblin 1"), telling(target="Goblin 2")]
    assert "{" not in tell(prompt(*both, slots=["damage", "target_hp"])).text


@pytest.mark.parametrize(
    ("result", "said"),
    [("parried", "parried"), ("wild magic!", "wild magic!"), ("nat 20", "nat 20")],
)
def test_a_games_own_word_is_told_as_it_is(result: str, said: str) -> None:
    text = tell(prompt(telling(result=result))).text
    assert said in text
    assert not FALLS.search(text)


@pytest.mark.parametrize(
    ("word", "meant"),
    [("crit", "critical"), ("missed", "miss"), ("*hit*", "hit"), ("failed", "failure")],
)
def test_the_usual_words_for_a_result_are_understood(word: str, meant: str) -> None:
    """The seed's picks do not depend on the word, so the texts are comparable."""
    texts = [tell(prompt(telling(result=r), form="part")).text for r in (word, meant)]
    assert texts[0] == texts[1]


def test_a_creature_does_what_creatures_do() -> None:
    for seed in range(60):
        for result in ("hit", "miss", "critical", "kill"):
            story = tell(prompt(telling("Dire Wolf", name="bite", result=result)), seed=seed)
            assert not re.search("smile|friend|cursing|jaw tight", story.text)
            assert story.lines == ()


@given(seeds, st.sampled_from(["attack", "cast", "use", "move", "talk", "dance", ""]))
def test_every_kind_of_action_reads_as_sentences(seed: int, kind: str) -> None:
    for result in ("success", "failure", "hit", "miss", "critical", "kill", "done"):
        text = tell(prompt(telling(kind=kind, name="", result=result)), seed=seed).text
        assert text[0].isupper() or text[0] == '"'
        assert text[-1] in '.!?"'
        assert "  " not in text and ".." not in text and " ." not in text
        assert "[" not in text and "None" not in text


@given(attacks, seeds)
def test_a_telling_is_of_a_readable_length(entry: dict[str, Any], seed: int) -> None:
    assert 25 <= len(tell(prompt(entry), seed=seed).text.split()) <= 100


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Goblin 2", "Goblin 2"),
        ("goblin-2", "Goblin 2"),
        ("Dire Wolf", "the Dire Wolf"),
        ("The Goblin King", "the Goblin King"),
        ("Mira", "Mira"),
        ("{damage} Goblin\nFACTS {}", "(damage) Goblin FACTS ()"),
    ],
)
def test_names_are_said_as_names_are(name: str, said: str) -> None:
    text = tell(prompt(telling(target=name, result="miss"), form="part")).text
    assert said.lower() in text.lower()
    assert "the the" not in text.lower()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("+1 Longsword", "longsword"),
        ("Crossbow, light", "light crossbow"),
        ("Scimitars", "scimitar"),
    ],
)
def test_weapons_are_said_as_one_says_them(name: str, said: str) -> None:
    texts = {tell(prompt(telling(name=name)), seed=seed).text for seed in range(20)}
    assert any(f"the {said}" in text.lower() for text in texts)
    assert not any("1" in without_names(text) for text in texts)


def test_healing_mends_and_hurts_nobody() -> None:
    text = tell(prompt(telling("Elara", "cast", "Cure Wounds", "Mira", "success", healing=7))).text
    assert "7 HP" in text
    assert not FALLS.search(text)
    assert "damage" not in text


def test_a_place_is_described_with_its_exits() -> None:
    location = {"id": "crypt", "name": "The Sunken Crypt", "exits": ["north", "the old stair"]}
    text = tell(prompt(context="exploration", location=location)).text
    assert "the Sunken Crypt" in text or "The Sunken Crypt" in text
    assert "north and the old stair" in text


def test_somebody_spoken_to_answers() -> None:
    story = tell(
        prompt(
            telling(kind="talk", target="Old Bertha", result="success"),
            context="dialogue",
            dialogue={"npc": "Old Bertha", "topic": "the missing bell"},
        )
    )
    assert "Old Bertha" in story.text
    assert "missing bell" in story.text
    assert story.lines[0][0] == "Old Bertha"


def test_a_blow_struck_in_a_talk_is_no_answer() -> None:
    for context in ("dialogue", "exploration"):
        blow = telling(target="Old Tam", damage=2, target_hp=0)
        text = tell(prompt(blow, context=context)).text
        assert "2 damage" in text and FALLS.search(text), text
        assert "asks" not in text and '"' not in text
    gift = telling(kind="use", name="five gold", target="Old Tam", result="success")
    assert '"' not in tell(prompt(gift, context="dialogue")).text


@pytest.mark.parametrize("kind", ["talk", "move", "attack", "use"])
@pytest.mark.parametrize("context", ["combat", "dialogue", "exploration"])
def test_of_what_is_told_together_nothing_is_lost(kind: str, context: str) -> None:
    each = [
        telling(actor, kind, "plead", target, "success" if kind in ("talk", "move") else "hit")
        for actor, target in (("Mira", "Ilse"), ("Bram", "Old Tam"), ("Sable", "Ilse"))
    ]
    text = tell(prompt(*each, context=context)).text
    told = ("Ilse", "Old Tam") if kind in ("talk", "attack", "use") else ("Mira", "Bram", "Sable")
    assert all(name in text for name in told), text
    if kind == "talk":
        assert text.count('"') + sum(text.count(part) for part in ("hears it out",)) >= 3, text


def test_a_place_is_known_from_the_scene_and_a_way_from_the_action() -> None:
    scene = "SCENE " + json.dumps({"place": {"name": "the Old Mill", "exits": ["yard"]}})
    looks = tell('FACTS {"context": "exploration", "tellings": []}', scene).text
    assert "Old Mill" in looks and "yard" in looks
    for name, way in (("to the cellar", "to the cellar"), ("north", "north"), ("walk", "onward")):
        move = telling(kind="move", name=name, target=None, result="success")
        text = tell(prompt(move, context="exploration"), scene).text
        assert "Mira" in text and way in text and "Old Mill" not in text, text


@pytest.mark.parametrize("seed", range(12))
def test_far_from_any_fight_nobody_fights(seed: int) -> None:
    search = telling(
        kind="use", name="search", target=None, result="success" if seed % 2 else "failure"
    )
    book = phrases()
    loud = [
        part for mood in ("good", "bad") for each in book["after"][mood] for part in parts_of(each)
    ]
    text = tell(prompt(search, context="exploration"), seed=seed).text
    assert not re.search("|".join(loud), text), text


@pytest.mark.parametrize("seed", range(12))
def test_what_else_a_blow_did_is_told_and_not_contradicted(seed: int) -> None:
    blow = telling(damage=1, target_hp=9)
    blow["values"]["effects"] = ["Prone"]
    text = tell(prompt(blow), seed=seed).text
    stands = [part for each in phrases()["react"]["hurt"] for part in parts_of(each)]
    assert "left prone" in text and not re.search("|".join(stands), text), text


@pytest.mark.parametrize("seed", range(12))
def test_one_who_lies_there_and_acts_does_not_stand(seed: int) -> None:
    save = telling(
        kind="save", name="death save", target=None, result=("success", "failure")[seed % 2]
    )
    text = tell(prompt(save | {"actor_down": True}), seed=seed).text
    assert re.fullmatch(r".*\b(lies|does not stir)\b.*", text) and text.count(".") == 1, text


@pytest.mark.parametrize("seed", range(8))
def test_what_failed_is_not_told_as_done(seed: int) -> None:
    book, way = phrases(), telling(kind="move", name="dash", target="the gate")
    done = [part for each in book["arrive"] + book["move"]["toward"] for part in parts_of(each)]
    for context in ("combat", "exploration"):
        assert re.search("|".join(done), tell(prompt(way, context=context), seed=seed).text)
        stuck = tell(prompt(way | {"result": "failure"}, context=context), seed=seed).text
        assert not re.search("|".join(done), stuck), stuck
    plea = telling(kind="talk", name="persuade", target="Old Bertha", result="failure")
    story = tell(prompt(plea, context="dialogue"), seed=seed)
    refused = [part for each in book["refuse"] for part in parts_of(each)]
    assert re.search("|".join(refused), story.text), story.text
    assert story.lines[0][1] in book["bark"]["refuse"]


@pytest.mark.parametrize(
    "words",
    [
        "",
        "FACTS",
        "FACTS {not json",
        "\ud800 goes the day",
        "FACTS [1]",
        "Say something about the harbour.",
        "\n\n",
        '"',
    ],
)
def test_without_facts_a_prompt_still_gets_a_graceful_answer(words: str) -> None:
    text = tell(words).text
    assert len(text.split()) > 15
    assert "[" not in text or "[1]" in words


FIELDS = ("tellings", "actor", "action", "type", "target", "values", "damage", "slots", "result")
odd_facts = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*FIELDS, "effects", "location", "dialogue", "context"]),
            inner,
            max_size=5,
        )
    ),
)


@given(odd_facts)
def test_no_facts_however_odd_break_it(facts: Any) -> None:
    assert tell("FACTS " + json.dumps(facts)).text


# --- answers that follow a schema ---

scalars = st.one_of(
    st.just({"type": "string"}),
    st.builds(lambda n: {"type": "string", "minLength": n, "maxLength": n + 5}, st.integers(0, 40)),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.builds(
        lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span},
        st.integers(-50, 50),
        st.integers(0, 5),
    ),
    st.builds(
        lambda low, span: {"type": "number", "exclusiveMinimum": low, "maximum": low + span},
        st.integers(-50, 50),
        st.integers(1, 5),
    ),
    st.builds(lambda n: {"type": "integer", "multipleOf": n, "minimum": 1}, st.integers(1, 7)),
    st.builds(lambda o: {"enum": o}, st.lists(st.text(max_size=4), min_size=1, max_size=3)),
    st.builds(lambda v: {"const": v}, st.integers(-9, 9)),
    st.builds(lambda s: {"anyOf": [s, {"type": "null"}]}, st.just({"type": "string"})),
)
names = st.sampled_from(["text", "lines", "cues", "speaker", "hp", "mood", "steps", "sound", "id"])


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def build(properties: dict[str, Any], required: int) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties)[:required],
            "additionalProperties": False,
        }

    return st.builds(build, st.dictionaries(names, inner, max_size=4), st.integers(0, 4))


def arrays(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    def build(items: Any, least: int, span: int) -> dict[str, Any]:
        return {"type": "array", "items": items, "minItems": least, "maxItems": least + span}

    return st.builds(build, inner, st.integers(0, 3), st.integers(0, 3))


schemas = objects(st.recursive(scalars, lambda inner: objects(inner) | arrays(inner), max_leaves=8))


def check(value: Any, schema: dict[str, Any]) -> None:
    """A small validator of what the strategies above use."""
    if "const" in schema:
        assert value == schema["const"]
    elif "enum" in schema:
        assert value in schema["enum"]
    elif "anyOf" in schema:
        assert value is None or isinstance(value, str)
    elif schema["type"] == "object":
        assert set(schema["required"]) <= set(value) <= set(schema["properties"])
        for name, inner in value.items():
            check(inner, schema["properties"][name])
    elif schema["type"] == "array":
        assert schema["minItems"] <= len(value) <= schema["maxItems"]
        for inner in value:
            check(inner, schema["items"])
    elif schema["type"] == "string":
        assert schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf)
    elif schema["type"] in ("integer", "number"):
        assert isinstance(value, int if schema["type"] == "integer" else (int, float))
        assert schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf)
        assert value > schema.get("exclusiveMinimum", -math.inf)
        assert value % schema.get("multipleOf", 1) == 0 or schema["type"] == "number"
    else:
        assert type(value) is {"boolean": bool, "null": type(None)}[schema["type"]]


@given(schemas, seeds)
def test_any_schema_is_satisfied(schema: dict[str, Any], seed: int) -> None:
    check(json.loads(answer(prompt(telling()), "", seed, schema)), schema)


class Entry(BaseModel):
    """What a server may only read of in the descriptions, and the formats."""

    dayText: str = Field(max_length=60)  # noqa: N815
    mood: int = Field(ge=50, le=60)
    chance: float = Field(gt=0, lt=1)
    tags: list[str] = Field(min_length=4, max_length=5)
    code: str = Field(min_length=30)
    day: date
    at: datetime
    hour: time
    lasts: timedelta
    by: UUID
    weights: list[Annotated[int, Field(le=-5)]]


@given(seeds)
def test_limits_told_in_descriptions_and_formats_are_kept(seed: int) -> None:
    asked = prompt(telling(), slots=["damage"])
    entry = Entry.model_validate_json(answer(asked, "", seed, schema_of(Entry)))
    whole = tell(asked, "", seed).text
    assert whole.startswith(entry.dayText) and entry.dayText.strip()
    assert whole[len(entry.dayText)] in " {"
    assert entry.dayText.count("{") == entry.dayText.count("}")


class Tale(BaseModel):
    within: Tale | None
    text: str


def test_a_model_that_holds_itself_is_asked_for_and_answered() -> None:
    asked = schema_of(Tale)
    assert asked["$ref"] == "#/$defs/Tale"
    assert asked["$defs"]["Tale"]["required"] == ["within", "text"]
    assert Tale.model_validate_json(answer(prompt(telling()), "", 0, asked)).text


NARRATION = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
        "cues": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["text", "lines", "cues"],
    "$defs": {
        "Line": {
            "type": "object",
            "properties": {"speaker": {"type": "string"}, "text": {"type": "string"}},
            "required": ["speaker", "text"],
        }
    },
}


def test_a_telling_as_json_holds_the_prose_its_lines_and_its_cues() -> None:
    talk = prompt(telling(kind="talk", target="Old Bertha"), context="dialogue")
    value = json.loads(answer(talk, "", 0, NARRATION))
    assert list(value) == ["text", "lines", "cues"]
    assert value["text"] == tell(talk).text
    assert value["lines"][0]["speaker"] == "Old Bertha"
    assert value["cues"] == ["a lowered voice"]


def test_a_schema_that_refers_to_itself_comes_to_an_end() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#"}, "all": {"items": {"$ref": "#"}}},
    }
    assert isinstance(json.loads(answer("x", "", 0, node)), dict)
    assert isinstance(json.loads(answer("x", "", 0, {"$ref": "#"})), (dict, str))


# --- the engine, in virtual time ---

SLOW = Profile("slow", "made for tests", 1_000, 10_000, ttft=1.0, tokens_per_second=10)


def ask(text: str = "Go on.", **fields: Any) -> Request:
    return Request("narrator", (Message("user", text),), **fields)


async def run(model: NarratorModel, request: Request) -> list[tuple[float, ModelEvent]]:
    loop = asyncio.get_running_loop()
    async with aclosing(model.stream(request)) as events:
        return [(loop.time(), event) async for event in events]


def deltas(events: list[tuple[float, ModelEvent]]) -> list[tuple[float, str]]:
    return [(t, e.text) for t, e in events if isinstance(e, Delta)]


def test_its_words_may_be_another_s_at_its_own_pace() -> None:
    engine = Engine(SLOW, write=lambda prompt, said, seed, schema, **_: prompt.upper())
    events = run_virtual(run(NarratorModel(engine), ask("what is said is answered")))
    pieces = deltas(events)
    assert "".join(text for _, text in pieces) == "WHAT IS SAID IS ANSWERED"
    assert pieces[0][0] == pytest.approx(1.0 + 6 / 1000)


def test_the_first_token_waits_for_base_and_prefill_the_rest_for_its_speed() -> None:
    engine = Engine(SLOW)
    events = run_virtual(run(NarratorModel(engine), ask("x" * 4000)))
    pieces = deltas(events)
    assert pieces[0][0] == pytest.approx(1.0 + 1000 / 1000)
    text = "".join(piece for _, piece in pieces)
    first = tokens(len(pieces[0][1]))
    assert pieces[-1][0] == pytest.approx(2.0 + (tokens(len(text)) - first) / 10)
    assert events[0][1] == Usage(1000, 1, 0, 0)
    assert events[-2][1] == Usage(1000, tokens(len(text)), 0, 0, final=True)
    assert events[-1][1] == Stop("end_turn")


def test_streams_share_the_decode_speed_where_it_is_shared() -> None:
    async def main() -> tuple[float, float, float]:
        shared = replace(SLOW, shared_tokens_per_second=10.0, uncached_prefill_tps=math.inf)
        model, loop = NarratorModel(Engine(shared)), asyncio.get_running_loop()

        async def writing(streams: int) -> float:
            start = loop.time()
            runs = await asyncio.gather(*(run(model, ask()) for _ in range(streams)))
            return max(deltas(events)[-1][0] for events in runs) - start - 1.0

        return await writing(1), await writing(2), await writing(1)

    alone, together, alone_again = run_virtual(main())
    assert together == pytest.approx(2 * alone, rel=0.05)
    assert alone_again == pytest.approx(alone)


def test_prompts_read_at_once_share_the_prefill_speed_where_decoding_is_shared() -> None:
    async def main(speed: Profile) -> list[float]:
        model = NarratorModel(Engine(speed))
        requests = [ask("x" * 8000), ask("y" * 8000)]
        runs = await asyncio.gather(*(run(model, request) for request in requests))
        return [events[0][0] for events in runs]

    assert run_virtual(main(SLOW)) == pytest.approx([3.0, 3.0])
    assert run_virtual(main(replace(SLOW, shared_tokens_per_second=10.0)))[1] == pytest.approx(5.0)


def test_streams_do_not_slow_each_other_where_nothing_is_shared() -> None:
    async def both() -> set[float]:
        model = NarratorModel(Engine(SLOW))
        return {e[-1][0] for e in await asyncio.gather(run(model, ask()), run(model, ask()))}

    assert len(run_virtual(both())) == 1


def test_requests_beyond_the_slots_wait_in_line_in_order() -> None:
    async def three() -> list[tuple[float, float]]:
        model = NarratorModel(Engine(replace(SLOW, slots=1)))
        runs = await asyncio.gather(*(run(model, ask(f"Go {n}.")) for n in range(3)))
        return [(events[0][0], events[-1][0]) for events in runs]

    spans = run_virtual(three())
    for (_, end), (begun, _) in pairwise(spans):
        assert begun == pytest.approx(end + 1.0, abs=0.1)


def test_a_cancelled_request_frees_its_slot_at_once() -> None:  # G4
    async def main() -> tuple[float, Engine]:
        engine = Engine(replace(SLOW, slots=1))
        model, loop = NarratorModel(engine), asyncio.get_running_loop()
        stream = model.stream(ask())
        await anext(stream)
        waiting = asyncio.create_task(run(model, ask("And then?")))
        gone = asyncio.create_task(run(model, ask("Never mind.")))
        await asyncio.sleep(0.5)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        closed = loop.time()
        await stream.aclose()
        events = await waiting
        return events[0][0] - closed, engine

    after, engine = run_virtual(main())
    assert after == pytest.approx(1.0, abs=0.1)
    assert [a.ended for a in engine.accounts] == ["cancelled", "finished", "cancelled"]
    assert engine.open == {}
    assert engine.accounts[2].output == 0


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)), max_size=12), st.integers(1, 3))
def test_no_interleaving_of_cancels_loses_a_slot(plan: list[tuple[float, float]], n: int) -> None:
    """However requests come and are cancelled, in the end all slots are free again."""

    async def main() -> Engine:
        engine = Engine(replace(SLOW, slots=n))
        model = NarratorModel(engine)

        async def one(start: float, life: float) -> None:
            await asyncio.sleep(round(start))
            task = asyncio.create_task(run(model, ask()))
            await asyncio.sleep(round(life))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        await asyncio.gather(*(one(*times) for times in plan))
        await asyncio.gather(*(run(model, ask()) for _ in range(n)))
        return engine

    engine = run_virtual(main())
    assert engine.open == {}
    assert engine.totals.opened == engine.totals.finished + engine.totals.cancelled


def test_a_slot_given_to_one_who_is_just_leaving_goes_to_the_next() -> None:
    async def main() -> None:
        slots, order = Slots(1), []

        async def take(name: str) -> None:
            async with slots:
                order.append(name)

        await slots.__aenter__()
        leaving, waiting = asyncio.create_task(take("a")), asyncio.create_task(take("b"))
        await asyncio.sleep(0)
        assert slots.waiting == 2
        await slots.__aexit__()
        leaving.cancel()
        await asyncio.gather(leaving, waiting, return_exceptions=True)
        assert order == ["b"]

        async with slots:
            impatient = asyncio.create_task(take("c"))
            await asyncio.sleep(0)
            impatient.cancel()
            await asyncio.gather(impatient, return_exceptions=True)
            assert slots.waiting == 0

    run_virtual(main())


def test_over_the_rate_limit_the_answer_is_429_until_it_may_come_again() -> None:
    async def main() -> tuple[float | None, Engine]:
        engine = Engine(replace(SLOW, requests_per_minute=2))
        model = NarratorModel(engine)
        await asyncio.gather(run(model, ask()), run(model, ask()))
        with pytest.raises(ModelOverloaded, match="rate limit of requests") as caught:
            await asyncio.gather(*(run(model, ask()) for _ in range(3)))
        assert caught.value.retry_after is not None
        await asyncio.sleep(caught.value.retry_after)
        await run(model, ask())
        return caught.value.retry_after, engine

    retry_after, engine = run_virtual(main())
    assert retry_after is not None and 0 < retry_after <= 30
    assert engine.totals.refused >= 1


def test_tokens_are_limited_too() -> None:
    async def main() -> None:
        model = NarratorModel(Engine(replace(SLOW, tokens_per_minute=1_000)))
        await run(model, ask("x" * 3800))
        await run(model, ask("x" * 3800))

    with pytest.raises(ModelOverloaded, match="tokens per minute"):
        run_virtual(main())


def test_what_was_written_counts_towards_the_limit() -> None:
    async def main() -> int:
        model = NarratorModel(Engine(replace(SLOW, tokens_per_minute=200)))
        written = 0
        for _ in range(20):
            events = await run(model, ask("x" * 4))
            written += sum(each.output for _, each in events if isinstance(each, Usage))
            assert written < 1_000
        return written

    with pytest.raises(ModelOverloaded, match="tokens per minute"):
        run_virtual(main())


def test_a_prefix_is_cached_for_five_minutes_from_its_last_use() -> None:
    async def main() -> list[tuple[float, Usage]]:
        model, loop = NarratorModel(Engine(SLOW)), asyncio.get_running_loop()
        seen = []
        for pause in (0, 100, 250, 301):
            await asyncio.sleep(pause)
            start = loop.time()
            events = await run(model, ask(f"at {start}".ljust(400, "."), system="s" * 40_000))
            usage = events[0][1]
            assert isinstance(usage, Usage)
            seen.append((events[0][0] - start, usage))
        return seen

    (slow, wrote), (quick, read), (_, again), (late, lost) = run_virtual(main())
    assert (wrote.input, wrote.cache_read, wrote.cache_write) == (100, 0, 10_000)
    assert (read.input, read.cache_read, read.cache_write) == (100, 10_000, 0)
    assert again.cache_read == 10_000
    assert lost.cache_read == 0
    assert slow == pytest.approx(1 + 10_100 / 1_000)
    assert quick == pytest.approx(1 + 100 / 1_000 + 10_000 / 10_000)
    assert late == pytest.approx(slow)


def test_nothing_is_cached_unasked_or_below_the_profiles_least() -> None:
    async def main(request: Request, least: int) -> Usage:
        model = NarratorModel(Engine(replace(SLOW, min_cached_tokens=least)))
        await run(model, request)
        usage = (await run(model, request))[0][1]
        assert isinstance(usage, Usage)
        return usage

    long = ask(system="s" * 4_000)
    assert run_virtual(main(long, 0)).cache_read == 1_000
    assert run_virtual(main(long, 1_001)).cache_read == 0
    assert run_virtual(main(replace(long, cache_system=False), 0)).cache_read == 0


def test_variants_of_one_moment_write_the_prefix_once_it_is_read() -> None:
    """Started side by side they all write it; started after the first token they read it."""

    async def main() -> list[int | None]:
        model = NarratorModel(Engine(SLOW))
        requests = [ask(f"variant {n}", system="s" * 4_000) for n in range(3)]
        runs = [*await asyncio.gather(run(model, requests[0]), run(model, requests[1]))]
        runs.append(await run(model, requests[2]))
        return [e[0][1].cache_read for e in runs if isinstance(e[0][1], Usage)]

    assert run_virtual(main()) == [0, 0, 1_000]


def test_the_answer_is_cut_at_max_tokens() -> None:
    events = run_virtual(run(NarratorModel(Engine(SLOW)), ask(max_tokens=7)))
    text = "".join(piece for _, piece in deltas(events))
    assert tokens(len(text)) == 7
    assert events[-1][1] == Stop("max_tokens")


def test_jitter_is_seeded_and_stays_within_its_bounds() -> None:
    jittery = replace(SLOW, jitter=0.2, uncached_prefill_tps=math.inf)

    def first(seed: int, text: str) -> float:
        return run_virtual(run(NarratorModel(Engine(jittery, seed)), ask(text)))[0][0]

    times = [first(seed, "Go on.") for seed in range(20)]
    assert all(0.8 <= t <= 1.2 for t in times)
    assert len(set(times)) > 15
    assert first(3, "Go on.") == first(3, "Go on.")


def test_a_narrator_name_picks_that_profiles_speed() -> None:
    engine = Engine(profile("instant"))
    events = run_virtual(
        run(NarratorModel(engine), Request("narrator-hosted-large", (Message("user", "x"),)))
    )
    assert events[0][0] > 1.0
    assert run_virtual(run(NarratorModel(engine), ask()))[-1][0] == 0.0


def test_the_account_tells_what_was_really_generated() -> None:
    """The usage of a cancelled stream is never sent, but the engine knows it."""

    async def main() -> tuple[Engine, str]:
        engine = Engine(SLOW)
        seen = ""
        async with aclosing(NarratorModel(engine).stream(ask())) as events:
            async for event in events:
                if isinstance(event, Delta):
                    seen += event.text
                if len(seen) > 40:
                    break
        return engine, seen

    engine, seen = run_virtual(main())
    account = engine.accounts[0]
    assert account.ended == "cancelled"
    assert account.output == tokens(len(seen))
    assert account.closed is not None and account.first_token is not None
    assert account.opened < account.first_token < account.closed
    assert engine.totals.output == account.output
    assert repr(engine) == "<Engine slow: 0 open, 0 finished, 1 cancelled>"


def test_accounts_are_bounded_and_totals_go_on() -> None:
    async def main() -> Engine:
        engine = Engine(profile("instant"), keep=3)
        for _ in range(5):
            await run(NarratorModel(engine), ask())
        return engine

    engine = run_virtual(main())
    assert len(engine.accounts) == 3
    assert engine.totals.finished == 5


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_names_its_source_and_answers(name: str) -> None:
    assert len(PROFILES[name].source) > 10
    events = run_virtual(run(NarratorModel(Engine(PROFILES[name])), ask()))
    assert events[-1][1] == Stop("end_turn")


def test_an_unknown_profile_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="hosted-large, hosted-small, local-8b, instant"):
        profile("fast")


def test_in_process_bad_requests_are_refused_as_over_http() -> None:
    model = NarratorModel(Engine(profile("instant")))
    with pytest.raises(ModelNotFound, match="gpt-5"):
        run_virtual(run(model, replace(ask(), model="gpt-5")))
    with pytest.raises(ModelBadRequest, match="at least one message"):
        run_virtual(run(model, replace(ask(), messages=())))
    with pytest.raises(ModelBadRequest, match="colour: Extra inputs"):
        run_virtual(run(model, ask(extra={"colour": "red"})))
    with pytest.raises(ModelBadRequest, match="temperature"):
        run_virtual(run(model, replace(ask(extra={"temperature": 0.5}), model="claude-sonnet-5-5")))


def parts_of(phrase: str) -> list[str]:
    """A phrase as it may be found in a text, whoever it is about."""
    return [re.escape(part) for part in re.split(r"\[.*?\]", phrase) if len(part) > 12]


def test_one_who_was_down_before_does_nothing_more() -> None:
    book = phrases()
    moods = ("hurt", "badly", "shaken", "unmoved")
    stands = [part for mood in moods for each in book["react"][mood] for part in parts_of(each)]
    stands += [part for each in book["hush"] for part in parts_of(each)]
    kinds = {
        "attack": ("longsword",),
        "cast": ("fireball", "web", "cure wounds"),
        "use": ("bomb", "trip"),
        "talk": ("persuade",),
    }
    for kind, name in [(kind, name) for kind, names in kinds.items() for name in names]:
        for result, seed in product(("miss", "hit", "success", "failure"), range(20)):
            values = {"target_hp": 0} | ({"damage": 9} if name in ("fireball", "bomb") else {})
            what = telling("Ann", kind, name, "Bob", result, **values)
            for more in ({}, {"save": True}):
                text = tell(prompt(what | {"down": True} | more), seed=seed).text
                lying = (
                    r"Bob,? (who |lying )?(lies|does not stir|no longer stirs|is past)|Bob where"
                )
                nothing = r"(past caring|as still as before|not stir yet|lies still|quiet heap)"
                assert re.search(f"{lying}|{nothing}", text), text
                assert not re.search("|".join(stands), text) and "HP" not in text, text


def test_of_one_who_may_have_fallen_it_says_neither() -> None:  # G1
    book = phrases()
    stands = [each for mood in ("hurt", "badly", "shaken") for each in book["react"][mood]]
    ends = stands + book["after"]["good"] + book["after"]["kill"]
    kept = [part for each in ends for part in parts_of(each)]
    telling = {"actor": "Ann", "action": {"type": "attack", "name": "longsword"}, "target": "Bob"}

    def text(seed: int, **more: Any) -> str:
        facts = {"tellings": [telling | more], "form": "full"}
        return tell(f"FACTS {json.dumps(facts)}", seed=seed).text

    for result in ("hit", "critical"):
        assert any(re.search("|".join(kept), text(seed, result=result)) for seed in range(20))
        for seed in range(40):
            said = text(seed, result=result, unsure=True)
            assert not re.search("|".join(kept), said) and not FALLS.search(said), said
    answers = [part for each in book["reply"] + book["refuse"] for part in parts_of(each)]
    dodges = [
        part
        for aim, texts in book["miss"].items()
        for each in texts
        for part in parts_of(each)
        if aim != "wide"
    ]
    for seed in range(40):
        talk = {"action": {"type": "talk", "name": "persuade"}, "result": "success"}
        assert re.search("|".join(answers), text(seed, **talk))
        assert not re.search("|".join(answers), text(seed, **talk, unsure=True))
        assert re.search("|".join(dodges), text(seed, result="miss"))
        assert not re.search("|".join(dodges), text(seed, result="miss", unsure=True))


HURTS = re.compile(r"\b(damage|HP|wound|blood|scorch\w*|wither\w*|cut|bites)\b")
SPELLS = re.compile(r"syllable|old words|palm outward|sign drawn|says \w+ the way|last word of")
DEEDS = ["use", "check", "save", "help", "act", "grapple"]


def like(phrase: str, text: str) -> bool:
    """Whether one of the sentences is made of a phrase of the book."""
    made = ".*".join(map(re.escape, re.split(r"\[[^\]]*\]", phrase)))
    sentences = re.split(r"(?<=\.) ", text)
    return any(re.fullmatch(made + r"([,—; ].*)?\.", each, re.IGNORECASE) for each in sentences)


def meaning(text: str) -> set[str]:
    """Which of the phrases of deeds and spells a text has, by their place in the book."""
    book = phrases()
    places = {
        "worked": [*book["deed"]["success"], *book["deed"]["at"]["success"], *book["holds"]],
        "failed": [*book["deed"]["failure"], *book["deed"]["at"]["failure"], *book["fizzle"]],
        "own": [*book["deed"]["own"]["success"], *book["deed"]["own"]["failure"]],
        "saved": [*book["deed"]["save"]["success"], *book["save_made"]],
        "taken": [*book["deed"]["save"]["failure"], *book["unsaved"], *book["save_failed"]],
    }
    return {place for place, options in places.items() if any(like(o, text) for o in options)}


@given(
    st.sampled_from([*DEEDS, "attack", "cast"]),
    st.sampled_from(["success", "failure"]),
    st.booleans(),
    st.sampled_from(["Goblin 2", "Sir Roland", None]),
    forms,
    seeds,
)
def test_whose_a_success_is_decides_how_it_is_told(
    kind: str, result: str, save: bool, target: str | None, form: str, seed: int
) -> None:
    entry = telling("Ålva", kind, "confusing trick", target, result) | {"save": save}
    text = tell(prompt(entry, form=form), seed=seed).text
    if target is None and kind == "attack":
        return
    wanted = {"success": "worked", "failure": "failed"}[result]
    if save and target is not None:
        wanted = {"success": "saved", "failure": "taken"}[result]
    assert meaning(text) == {wanted}, text
    assert target is None or target in text
    assert not HURTS.search(text) and not FALLS.search(text)


@given(
    st.sampled_from(DEEDS),
    st.sampled_from(["hit", "miss", "critical", "success", "failure"]),
    st.booleans(),
    st.sampled_from([{}, {"damage": 7}, {"damage": 7, "target_hp": 0}]),
    seeds,
)
def test_what_is_no_spell_is_not_told_as_one(
    kind: str, result: str, save: bool, values: dict[str, float], seed: int
) -> None:
    entry = telling("Ålva", kind, "glare", "Sir Roland", result, **values) | {"save": save}
    text = tell(prompt(entry, slots=["damage"]), seed=seed).text
    assert not SPELLS.search(text), text
    if result != "miss" and (result == "success" or "damage" in values):
        assert ("7 damage" in text) is ("damage" in values)
    assert bool(FALLS.search(text)) is ("target_hp" in values and result != "miss")


def test_each_of_several_targets_is_named_with_what_became_of_it() -> None:
    names = ["Verity", "Nitar", "Keya"]
    results = ["success", "failure", "success"]
    for seed in range(30):
        glare = [
            telling("SH1", "use", "Horrific Appearance", name, result) | {"save": True}
            for name, result in zip(names, results, strict=True)
        ]
        text = tell(prompt(*glare), seed=seed).text
        for name, result in zip(names, results, strict=True):
            about = [each for each in re.split(r"(?<=\.) ", text) if name in each]
            assert len(about) == 1
            assert meaning(about[0]) == {"saved" if result == "success" else "taken"}
        assert "Nothing has changed" not in text


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1234567, "1234567"),
        (1e6, "1000000"),
        (100000.5, "100000.5"),
        (12345.678, "12345.678"),
        (0.1 + 0.2, "0.3"),
        (0.5, "0.5"),
    ],
)
def test_a_number_is_told_as_a_slot_is_filled(value: float, said: str) -> None:
    text = tell(prompt(telling(damage=value, target_hp=value))).text
    assert f"{said} damage" in text and f"{said} HP" in text
    assert fill("{damage}", {"damage": value}) == said


@given(attacks, forms, seeds, st.sampled_from(["hit", "critical", "failure"]))
def test_a_blow_without_damage_harms_nobody(
    entry: dict[str, Any], form: str, seed: int, result: str
) -> None:
    entry |= {"result": result, "values": {"damage": 0, "target_hp": 9}, "save": True}
    text = tell(prompt(entry, form=form), seed=seed).text
    if result == "failure" and entry["action"]["type"] == "attack":
        return
    assert "0 damage" not in text and not WOUNDS.search(text) and "stagger" not in text
    assert any(like(each, text) for each in phrases()["harmless"])


@pytest.mark.parametrize(
    ("name", "said", "again"),
    [
        ("SH1", "SH1", "SH1"),
        ("sh1", "Sh1", "Sh1"),
        ("sh-1", "Sh 1", "Sh 1"),
        ("Ko 2", "Ko 2", "Ko 2"),
        ("goblin2", "Goblin2", "the goblin"),
        ("goblin-2", "Goblin 2", "the goblin"),
        ("Gorp 2", "Gorp 2", "the gorp"),
        ("Gorp2", "Gorp2", "Gorp2"),
        ("elf-3", "Elf 3", "the elf"),
        ("Player1", "Player1", "Player1"),
    ],
)
def test_a_name_with_a_number_is_said_again_by_what_is_left_if_that_is_a_word(
    name: str, said: str, again: str
) -> None:
    assert (named(name).name, named(name).again) == (said, again)


@given(seeds, st.sampled_from(["rolled", "success", "failure", "hit", "miss", "kill"]))
def test_one_who_does_it_to_oneself_is_not_two(seed: int, result: str) -> None:
    for kind in ("save", "use", "cast"):
        text = tell(prompt(telling("Mira", kind, "odd trick", "Mira", result)), seed=seed).text
        assert not re.search(r"Mira and Mira|between Mira|Mira on Mira|Mira with Mira", text)
