"""What players say and type: which things and whom it names, as they write it."""

from __future__ import annotations

import pytest

from foretell.operators.intent import Names, cued
from foretell.operators.words import initials, phrases, tokens

SHEET = (
    "Chaos Bolt",
    "Tides of Chaos",
    "Chill Touch",
    "Dagger",
    "Crossbow, light",
    "Crystal Spike (Greataxe)",
    "Form of the Beast: Bite",
    "Form of the Beast: Claws",
    "Eldritch Blast",
    "Hex",
    "Hex Warrior",
    "Épée",
)
NAMES = Names({name: [name] for name in SHEET})


def first(text: str, names: Names[str] = NAMES, *, typing: bool = False) -> str | None:
    found = names.named(text, typing=typing)
    return max(found, key=lambda each: found[each], default=None)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("as they panic cast Chaos Bolt at the hag", "Chaos Bolt"),
        ("CHAOS BOLT!!", "Chaos Bolt"),
        ("another tide of chaos flows through them", "Tides of Chaos"),
        ("I throw my daggers", "Dagger"),
        ("the light crossbow, then", "Crossbow, light"),
        ("he heaves the greataxe", "Crystal Spike (Greataxe)"),
        ("she bites", "Form of the Beast: Bite"),
        ("claws out", "Form of the Beast: Claws"),
        ("EB on the big one", "Eldritch Blast"),
        ("i'll use eldrich blast", "Eldritch Blast"),
        ("eldritch balst", "Eldritch Blast"),
        ("he heaves the graetaxe", "Crystal Spike (Greataxe)"),
        ("he heaves the greatxe", "Crystal Spike (Greataxe)"),
        ("he heaves the grextaxo", None),
        ("a further -hex- cast", "Hex"),
        ("avec mon epee", "Épée"),
        ("avec l'ÉPÉE", "Épée"),
        ("not the dagger, the greataxe", "Crystal Spike (Greataxe)"),
        ("He says it was eb, or so", None),
        ("What is that? It's not a crab!", None),
        ("", None),
        ("…!?", None),
    ],
)
def test_a_thing_is_known_as_players_write_it(text: str, meant: str | None) -> None:
    assert first(text) == meant


def test_the_whole_name_counts_for_more_than_a_part_and_a_part_for_more_than_nothing() -> None:
    found = NAMES.named("Chaos Bolt")
    assert found["Chaos Bolt"] == 1.0
    assert 0 < found["Tides of Chaos"] < 0.4
    assert "Dagger" not in found
    scattered = NAMES.named("the chaos of it all, and how the town goes on like a bolt")
    assert 0 < scattered["Chaos Bolt"] < 1.0


def test_what_several_have_in_common_tells_them_apart_the_less() -> None:
    found = NAMES.named("the form of the beast")
    assert found["Form of the Beast: Bite"] == found["Form of the Beast: Claws"] < 0.6


def test_what_is_not_to_be_is_not_named() -> None:
    assert NAMES.named("without my dagger") == NAMES.named("No dagger!") == {}


def test_the_last_word_may_not_be_whole_while_it_is_typed() -> None:
    assert first("I draw my cros", typing=True) == "Crossbow, light"
    assert first("I draw my cros") is None
    assert first("I draw my cr", typing=True) is None
    assert first("cros I draw", typing=True) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("at SH1", "sh1"),
        ("at the hag", "sh1"),
        ("goblin 2 first", "goblin-2"),
        ("Goblin2!", "goblin-2"),
        ("gob2", "goblin-2"),
        ("G1 pls", "goblin-1"),
        ("at Mira's feet", "mira"),
        ("on all of them", None),
        ("at 2 of them", None),
    ],
)
def test_whom_it_names(text: str, meant: str | None) -> None:
    actors = {
        "sh1": ["SH1", "Sea Hag"],
        "goblin-1": ["Goblin 1", "goblin"],
        "goblin-2": ["Goblin 2", "goblin"],
        "mira": ["Mira Vale"],
    }
    assert first(text, Names(actors, 0.8)) == meant


def test_the_type_of_an_action_is_known_by_its_verbs() -> None:
    assert cued("And she swings!") == ["attack"]
    assert cued("he casts about, striking") == ["attack", "cast"]
    assert cued("Hello?") == []
    assert cued("I won't attack, I run") == ["move"]


def test_forms_of_one_word_have_one_stem() -> None:
    for forms in ("swing swings swinging", "curse curses cursed", "stab stabbed stabbing"):
        assert len({token.stem for token in tokens(forms)}) == 1
    assert len({token.stem for token in tokens("axe bow claw mace whip hex")}) == 6


def test_a_long_text_is_read_from_its_end() -> None:
    assert first("Dagger " + "so " * 100_000) is None
    assert first("so " * 100_000 + "dagger") == "Dagger"


def test_names_have_parts_and_initials() -> None:
    assert phrases("Nimble Escape: Hide")[1:] == (phrases("Nimble Escape")[0], phrases("Hide")[0])
    assert phrases("") == phrases("…") == ()
    assert (initials("Eldritch Blast"), initials("Sea Hag 1"), initials("Bow")) == ("eb", "sh1", "")
