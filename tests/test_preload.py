"""What scenes need of content: of whom, under which names, and how urgently."""

from __future__ import annotations

from typing import Any

import pytest

import foretell
from foretell.operators.classify import classify
from foretell.operators.preload import PRELOADS, Need, Preload, Wanted, is_of, key_of, preloads_of
from foretell.operators.schedule import Urgency
from foretell.streams import events as ev
from foretell.streams.world import Numbered, World, advance


def found(state: dict[str, Any], *inputs: ev.Input, preloads: Any = PRELOADS) -> dict[str, Wanted]:
    world = World()
    for number, event in enumerate((ev.State(0.0, state), *inputs), 1):
        world = advance(world, Numbered(number, event, 0.0))
    faults: list[BaseException] = []
    wanted = preloads_of(classify(world), preloads, lambda where, error: faults.append(error))
    assert not faults
    return wanted


def asked(state: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {key: wanted.ask.names for key, wanted in found(state).items()}


def fight(**actors: Any) -> dict[str, Any]:
    return {"mode": "combat", "actors": actors}


@pytest.mark.parametrize(
    "sheet",
    [
        *({"side": side} for side in ("party", "PC", "Players", "heroes")),
        *({"side": "foes", "player": "ann"}, {"class": "Wizard 3"}),
    ],
)
def test_player_characters_have_spell_lists_and_all_others_stat_blocks(sheet: Any) -> None:  # 0-2
    known = asked(fight(a={"name": "Mira", **sheet}, b={"name": "Orc", "side": "foes"}, c={}))
    assert known == {
        "spell_list:mira / a": ("Mira", "a"),
        "stat_block:orc / b": ("Orc", "b"),
        "stat_block:c": ("c",),
    }


def test_names_that_are_none_do_not_count() -> None:
    known = asked(
        fight(mira={"name": 7, "class": "x"}, bo={"name": "()", "class": "x"}, b={"kind": 5})
    )
    assert known == {
        "spell_list:mira": ("mira",),
        "spell_list:bo": ("bo",),
        "stat_block:b": ("b",),
    }


def test_a_stat_block_has_all_names_and_of_initials_the_health() -> None:  # G1
    foes = {
        "g": {"kind": "goblin", "species": "goblinoid", "name": "Grak 2"},
        "w-1": {"name": "Wolf 1"},
        "w-2": {"name": "Wolf 2"},
        "h": {"name": "SH1", "max_hp": 52},
        "8": {"name": "Orc"},
    }
    assert list(asked(fight(**foes))) == [
        "stat_block:goblin / goblinoid / grak",
        *("stat_block:wolf", "stat_block:sh1 / h / 52 hp", "stat_block:orc"),
    ]


def test_a_spell_list_is_another_with_another_sheet_and_as_large_as_its_spells() -> None:
    def sheet(**sheet: Any) -> Wanted:
        (wanted,) = found(fight(m={"class": "Wizard", **sheet})).values()
        return wanted

    bare, spells = sheet(), sheet(spells=["Hex", {"name": "Shield"}])
    assert bare.item.size is None and spells.item.size == 320
    marks = {bare.mark, spells.mark, sheet(spells=["Hex"]).mark, sheet(**{"class": "Bard"}).mark}
    assert len(marks) == 4 and sheet(hp=3).mark == bare.mark


def test_who_acts_and_at_whom_is_certain_to_be_needed() -> None:  # 1-58
    state = fight(**{each: {"name": f"Foe {each * 2}"} for each in "abcd"})
    turn = ev.Turn(0.0, "t1", "a")
    hit = ev.Action(0.0, "x1", "t1", "b", {"name": "bite", "target": "c"})
    wanted = found(state, turn, hit).values()
    assert [each.item.confidence for each in wanted] == [1.0, 1.0, 1.0, 0.95]
    assert [each.item.confidence for each in found(state).values()] == [0.95] * 4


@pytest.mark.parametrize(
    ("place", "there", "behind"),
    [
        ("Old Mill", ["old mill"], []),
        ({"name": "Old Mill", "id": "mill"}, ["mill", "old mill"], []),
        (
            {"exits": ["Cellar", {"to": "Road"}, {"name": "Yard", "to": "x"}]},
            [],
            "cellar road yard",
        ),
        ({"exits": {"north": "Cellar", "south": {"id": "road"}}}, [], "cellar road"),
        ({"name": "Mill", "exits": ["Mill", 7, {}, {"to": 7}, ""]}, ["mill"], []),
        ({"name": "", "exits": "Cellar"}, [], []),
        (7, [], []),
    ],
)
def test_a_place_has_its_lore_at_once_and_its_exits_theirs_later(
    place: Any, there: list[str], behind: Any
) -> None:  # 1-16
    wanted = found({"mode": "exploration", "location": place})
    now = {key for key, each in wanted.items() if each.item.urgency is Urgency.CRITICAL}
    assert now == {f"lore:{name}" for name in there}
    later = behind.split() if isinstance(behind, str) else behind
    assert {*wanted} - now == {f"lore:{name}" for name in later}
    for key, each in wanted.items():
        assert each.item.confidence == (1.0 if key in now else 0.6)
        assert (None in each.of) is (key in now)


def test_a_talk_has_the_voice_of_who_is_spoken_to_and_the_lore_of_both() -> None:  # 1-16
    grukk = {"actors": {"g": {"name": "Grukk"}}, "mode": "dialogue"}
    talk = found({**grukk, "dialogue": {"npc": "g", "topic": "the debts"}})
    assert {key: each.ask.names for key, each in talk.items()} == {
        "lore:grukk / g": ("Grukk", "g"),
        "lore:debts": ("the debts",),
        "voice:grukk / g": ("Grukk", "g"),
    }
    assert {key for key, each in talk.items() if each.item.urgency is Urgency.CRITICAL} == {
        *("lore:grukk / g", "lore:debts")
    }
    assert [*asked({**grukk, "dialogue": "Elda"})] == ["lore:elda", "voice:elda"]
    assert asked({**grukk, "dialogue": {"npc": 7, "topic": []}}) == {}
    assert asked({**grukk, "dialogue": {"topic": "the debts"}}) == {"lore:debts": ("the debts",)}


def test_what_several_need_is_one_item_as_likely_as_the_likeliest() -> None:
    def needs(scene: foretell.Scene) -> list[Need]:
        return [
            *(Need("Goblin", "a", 0.6), Need("the goblin", "b", 0.9), Need("goblin", "c", 0.7)),
            *(Need(""), Need(("()", "Orc"), "d")),
        ]

    own = Preload("lore", (foretell.Context.IDLE,), needs)
    wanted = found({}, preloads=(own,))
    assert [*wanted] == ["lore:goblin", "lore:orc"]
    goblin = wanted["lore:goblin"]
    assert goblin.of == ("a", "b", "c") and goblin.item.confidence == 0.9
    assert goblin.said == "the goblin" and wanted["lore:orc"].ask.names == ("Orc",)


def test_of_more_than_200_it_is_the_likeliest() -> None:  # G3
    def needs(scene: foretell.Scene) -> list[Need]:
        return [Need(f"x{n}", None, n / 1_000) for n in range(300)]

    own = Preload("lore", (foretell.Context.IDLE,), needs)
    assert {*found({}, preloads=(own,))} == {f"lore:x{n}" for n in range(100, 300)}


def test_what_a_game_says_was_needed_means_a_key_of_several_names() -> None:
    assert key_of("Stat Blocks:Sea-Hag 2") == "stat_block:sea hag"
    assert key_of("lore:Hall 2") == "lore:hall 2"
    assert [key_of(wrong) for wrong in ("lore", "lore:", "lore:()", "")] == [None] * 4
    assert is_of("stat_block:hag / old peg", "stat_block:old peg")
    assert is_of("lore:mill", "lore:mill")
    assert not is_of("stat_block:hag / old peg", "stat_block:old")
    assert not is_of("voice:mill", "lore:mill")
