"""Where content comes from: names as players write them, folders of JSON, mappings."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foretell
from foretell.errors import ConfigError, ForetellError
from foretell.operators.content_json import MOST_BYTES, as_json
from foretell.operators.content_shown import shown
from foretell.streams.content import Library, kind_of
from foretell.streams.content_names import Index


@pytest.fixture(scope="module")
def srd(data: Path) -> Library:
    folder = data / "srd5e"
    return Library({path.stem: orjson.loads(path.read_bytes()) for path in folder.glob("*.json")})


SAID = {  # 0-2
    "sea hag": "Sea Hag",
    "Sea Hag": "Sea Hag",
    "sea-hag": "Sea Hag",
    "SEA HAGS": "Sea Hag",
    "Goblin 2": "Goblin",
    "goblin2": "Goblin",
    "goblin-2": "Goblin",
    "Goblin #3": "Goblin",
    "goblin b": "Goblin",
    "the goblins": "Goblin",
    "Goblin (wounded)": "Goblin",
    "Klarg the Bugbear": "Bugbear",
    "Lupa, a dire wolf": "Dire Wolf",
    "dragon, red, young": "Young Red Dragon",
    "wolves": "Wolf",
    "the zombies": "Zombie",
    "liches": "Lich",
    "mummies": "Mummy",
    "sphinxes": None,  # androsphinx or gynosphinx
    "DW3": "Dire Wolf",
    "DW": "Dire Wolf",
    "gobblin": "Goblin",
    "will o’ wisp": "Will-o'-Wisp",
    "Gobl\u00edn": "Goblin",
    "deep gnome": "Deep Gnome (Svirfneblin)",
    # And what is none of them:
    "SH1": None,  # sea hag or sea horse
    "G1": None,
    "dw3": None,
    "Tiamat": None,
    "Keya": None,
    "Mirage": None,
    "Wolf Rider": None,
    "": None,
    " ": None,
    "7": None,
    "#1": None,
    "(wounded)": None,
}


@pytest.mark.parametrize("said", SAID)
def test_names_are_known_as_players_write_them(srd: Library, said: str) -> None:
    found = srd.find(foretell.Ask("stat_block", (said,)))
    assert (found and found["name"]) == SAID[said]


def test_initials_that_fit_several_mean_the_one_of_that_health(srd: Library) -> None:  # 0-2
    def named(name: str, health: int) -> Any:
        found = srd.find(foretell.Ask("stat_block", (name,), {"max_hp": health}))
        return found and found["name"]

    assert named("SH1", 52) == "Sea Hag"
    assert named("SH1", 1) == "Sea Horse"
    assert named("SH1", 30) is None
    assert named("G4", 7) == "Goblin"


def test_the_first_name_that_means_anything_counts(srd: Library) -> None:
    found = srd.find(foretell.Ask("stat_block", ("Old Peg", "Sea Hag", "goblin")))
    assert found["name"] == "Sea Hag"


def test_a_spell_list_is_made_of_a_sheet_or_of_a_class(srd: Library) -> None:  # 0-2
    sheet = {"spells": ["Fire Bolt", {"name": "acid arrow"}, "My own"], "class": "Wizard 3"}
    found = srd.find(foretell.Ask("spell_list", ("Mira",), sheet))
    assert list(found) == ["Fire Bolt", "acid arrow"]
    assert found["acid arrow"]["school"] == "Evocation"
    assert found["acid arrow"]["desc"].startswith("A shimmering green arrow streaks")
    theirs = srd.find(foretell.Ask("spell_list", ("Mira",), {"class": "Fighter 1/Wizard 3"}))
    assert "Fireball" in theirs["known"] and "Cure Wounds" not in theirs["known"]
    assert srd.find(foretell.Ask("spell_list", ("Mira",), {"class": "Fighter 3"})) is None
    assert srd.find(foretell.Ask("spell_list", ("Mira",), {})) is None


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("5e-SRD-Monsters", "stat_block"),
        ("stat_blocks", "stat_block"),
        ("Spells", "spell"),
        ("spell lists", "spell_list"),
        ("lore", "lore"),
        ("voices", "voice"),
        ("Conditions", "condition"),
        ("glass", "glass"),
    ],
)
def test_a_file_is_named_after_its_kind(file: str, kind: str) -> None:
    assert kind_of(file) == kind


def test_a_slip_of_the_pen_that_fits_two_names_is_none_of_them() -> None:
    known = [((name,), name) for name in ("Red strangler", "Red stangelr", "Old ghoul")]
    assert Index(known, creatures=True).find(("Red stangler",), {}) is None
    assert Index(known[1:], creatures=True).find(("Red stangler",), {}) == "Red stangelr"
    assert Index(known[::2], creatures=True).find(("Red stangler",), {}) == "Red strangler"


NEAR = {  # of each, what is another
    "stat_block": {
        "Giant Bear": "Giant Boar",
        "Fire Wolf": "Dire Wolf",
        "Swarm of Bees": "Swarm of Beetles",
        "Tailor": "Sailor",
        "Bandits": "Bandit King",
        "Goblin": "Hobgoblin",
    },
    "lore": {
        "Dungeon Level 3": "Dungeon Level 2",
        "Hall 1": "Hall",
        "Helena": "Hellena",
        "House of the King": "King",
        "OM": "Old Mill",
    },
}


def test_names_that_differ_in_their_asides_are_two() -> None:  # G1
    known = ["Old Mill (before the fire)", "Old Mill (after the fire)", "Inn [day]", "Road"]
    known += ["Werewolf (human)", "Werewolf (hybrid)", "Giant Rat", "Giant Rat (Diseased)"]
    for creatures in (False, True):
        index = Index([((each,), each) for each in known], creatures=creatures)
        for each in known:
            assert index.find((each,), {}) == each
        said = {
            "Old Mill": None,
            "Old Mill (ruin)": None,
            "Inn": "Inn [day]",
            "Inn (night)": None,
            "Road (muddy)": "Road",
            "the giant rat": "Giant Rat",
            "Werewolf": None,
            "Old Mill (AFTER the fire)": known[1],
            "Giant Rat (asleep)": "Giant Rat",
        }
        assert {each: index.find((each,), {}) for each in said} == said


def test_of_two_that_have_one_name_neither_is_meant_but_of_the_same_twice_it_is() -> None:  # G1
    index = Index([(("Mill",), "old"), (("the mill",), "new"), (("Inn",), "an inn")] * 2)
    assert index.find(("Mill",), {}) is None
    assert index.find(("Inn",), {}) == "an inn"


@pytest.mark.parametrize(("kind", "said"), [(kind, said) for kind in NEAR for said in NEAR[kind]])
def test_a_near_name_is_another(kind: str, said: str) -> None:  # G1
    known = NEAR[kind][said]
    assert Library({kind: {known: "x"}}).find(foretell.Ask(kind, (said,))) is None
    assert Library({kind: {known: "x"}}).find(foretell.Ask(kind, (known.upper(),))) == "x"


@given(st.text(), st.lists(st.text(), max_size=4))
def test_no_name_is_too_strange_to_look_for(name: str, known: list[str]) -> None:
    index = Index([((each,), each) for each in known])
    found = index.find((name,), {})
    assert found is None or found in known


async def test_a_folder_is_read_and_read_again_when_it_changes(tmp_path: Path) -> None:  # 1-39
    (tmp_path / "lore.json").write_text('{"Old Mill": "It burned down."}')
    (tmp_path / "voices").mkdir()
    (tmp_path / "voices" / "grukk.json").write_text('"a rasp"')
    folder = foretell.JsonFolder(tmp_path, every=1.0)
    assert await folder.find(foretell.Ask("lore", ("the old mill",))) == "It burned down."
    assert await folder.find(foretell.Ask("voice", ("Grukk",))) == "a rasp"
    changes = folder.changes()
    next_one = asyncio.ensure_future(anext(changes))
    await asyncio.sleep(2.5)
    assert not next_one.done()
    (tmp_path / "lore.json").write_text('{"Old Mill": "It stands."}')
    os.utime(tmp_path / "lore.json", ns=(1, 1))
    assert await next_one == "lore"
    assert await folder.find(foretell.Ask("lore", ("the old mill",))) == "It stands."
    (tmp_path / "voices" / "grukk.json").unlink()
    assert await anext(changes) == "voice"
    assert await folder.find(foretell.Ask("voice", ("Grukk",))) is None
    await changes.aclose()


@pytest.mark.parametrize("text", ["{", "7", '"x"', "[[[", "\xff"])
async def test_a_file_that_is_no_good_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "lore.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ForetellError, match=r"lore\.json"):
        await foretell.JsonFolder(tmp_path).find(foretell.Ask("lore", ("mill",)))


async def test_a_file_that_is_no_good_costs_only_its_kind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:  # G10
    (tmp_path / "lore.json").write_text("{")
    (tmp_path / "spells.json").write_text("{")
    (tmp_path / "spell_lists.json").write_text('{"Mira": {"Hex": {}}}')
    (tmp_path / "voices.json").write_text('{"Grukk": "a rasp"}')
    (tmp_path / "lore").mkdir()
    (tmp_path / "lore" / "old mill.json").write_text('"It burned down."')
    folder = foretell.JsonFolder(tmp_path)
    for _ in range(2):
        assert await folder.find(foretell.Ask("voice", ("Grukk",))) == "a rasp"
        assert await folder.find(foretell.Ask("lore", ("old mill",))) == "It burned down."
        assert await folder.find(foretell.Ask("spell_list", ("Mira",))) == {"Hex": {}}
        for ask in (foretell.Ask("spell_list", ("Bo",)), foretell.Ask("lore", ("cellar",))):
            with pytest.raises(ForetellError, match=r"(spells|lore)\.json"):
                await folder.find(ask)
    told = [each.message for each in caplog.records]
    assert [next(name for name in ("lore", "spells") if name in each) for each in told] == [
        *("lore", "spells")
    ]
    (tmp_path / "lore.json").write_text("{}")
    assert await folder.find(foretell.Ask("lore", ("cellar",))) is None


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "has no JSON file"),
        ({"notes.txt": "x"}, "has no JSON file"),
        ({"lore.json": "[1, 2, 3]"}, "lore.json: nothing in it has a name"),
        ({"lore.json": '["Old Mill"]'}, "lore.json: nothing in it has a name"),
        ({"lore.json": "{}"}, "lore.json: nothing in it has a name"),
        ({"lore.json": '[{"name": "x"}, {}]'}, "lore.json: only 1 of 2 have names"),
        ({"lore.json": '[{"name": "x"}]'}, None),
    ],
)
async def test_a_folder_with_nothing_in_it_is_told_in_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, files: dict[str, str], said: str | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    async with foretell.Game({"content": str(tmp_path)}) as game:
        await game.session("s")
        await asyncio.sleep(10)
    told = [each.message for each in caplog.records if each.levelname == "WARNING"]
    assert [said in each and "\n" not in each for each in told] == [True] if said else told == []


def test_the_srd_is_read_without_a_word(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    foretell.JsonFolder(data / "srd5e")._current()
    assert not caplog.records


async def test_a_folder_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "lore.json").write_text('{"Old Mill": "It burned down."}')
    folder = foretell.JsonFolder(tmp_path)
    watching = asyncio.create_task(anext(folder.changes()))
    await asyncio.sleep(1)
    assert folder._library is not None
    (tmp_path / "lore.json").write_text("{")
    assert await watching == "lore"
    again = asyncio.create_task(anext(folder.changes()))  # what is no good costs no watch
    await asyncio.sleep(1)
    assert not again.done()
    (tmp_path / "lore.json").write_text("{}")
    assert await again == "lore"


async def test_a_file_without_end_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foretell.streams.content_folder.MOST_BYTES", 10)
    (tmp_path / "lore.json").write_text('{"mill": 7}')
    with pytest.raises(ForetellError, match="larger than"):
        await foretell.JsonFolder(tmp_path).find(foretell.Ask("lore", ("mill",)))


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no folder"):
        foretell.JsonFolder(tmp_path / "none")
    with pytest.raises(ConfigError, match="is no folder"):
        foretell.Game({"content": str(tmp_path / "none")})


@pytest.mark.parametrize(
    "given",
    [{"lore": None}, {"lore": 7}, {"lore": "x"}, {"lore": [1, 2]}, {"lore": ["Mill"]}, {5: {}}],
)
async def test_a_mapping_without_names_is_said_at_once(given: Any) -> None:
    with pytest.raises(ConfigError, match="content: ") as found:
        foretell.Game(content=given)
    assert "\n" not in str(found.value)
    shelves: dict[str, Any] = {"lore": {}}
    source = foretell.ContentMapping(shelves)
    shelves.update({"lore": given.get("lore"), "voice": {"Grukk": "a rasp"}})
    with pytest.raises(ConfigError, match="content: "):
        await source.find(foretell.Ask("lore", ("mill",)))
    assert await source.find(foretell.Ask("voice", ("Grukk",))) == "a rasp"


@pytest.mark.parametrize("given", [7, "x", object(), foretell.JsonFolder])
def test_a_source_is_a_mapping_or_can_find(given: Any) -> None:
    with pytest.raises(ConfigError, match="content"):
        foretell.Game(content=given)


async def test_a_mapping_is_looked_into_as_it_is() -> None:
    shelves: dict[str, Any] = {"lore": {"Old Mill": "It burned down."}}
    source = foretell.ContentMapping(shelves)
    assert await source.find(foretell.Ask("lore", ("old mill",))) == "It burned down."
    shelves["stat_block"] = [{"name": "Goblin", "size": "Small"}]
    assert await source.find(foretell.Ask("stat_block", ("goblin 2",))) == shelves["stat_block"][0]
    assert await source.find(foretell.Ask("voice", ("goblin",))) is None


def test_content_is_plain_json_and_a_copy() -> None:
    given = {"a": [1, {"b": "c"}]}
    found = as_json(given)
    given["a"].append(2)  # type: ignore[attr-defined]
    assert found == {"a": [1, {"b": "c"}]}
    assert as_json(foretell.Narration(text="x"))["text"] == "x"
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    ring: list[Any] = []
    ring.append(ring)
    huge = [["x" * 100] * 10_000] * 100  # 100 MB, if it were written
    for wrong in ({1, 2}, object(), {1: 2}, "x" * (MOST_BYTES + 1), deep, ring, huge):
        with pytest.raises(ValueError, match="what its source gives"):
            as_json(wrong)


HAG = {
    "size": "Medium",
    "type": "fey",
    "hit_points": 52,
    "desc": "Covered in slime.",
    "actions": [
        {
            "name": "Claws",
            "desc": "+5 to hit",
            "attack_bonus": 5,
            "damage": [{"damage_type": {"name": "Slashing"}}],
        },
        {"name": "Death Glare", "desc": "She stares at one frightened creature."},
    ],
}


def test_prompts_show_how_things_look_and_no_rules() -> None:
    looks = {"size": "Medium", "type": "fey", "desc": "Covered in slime."}
    assert shown("stat_block", HAG, {}, True) == looks
    assert shown("stat_block", HAG, {"name": "claws"}, True) == {**looks, "wounds": ["slashing"]}
    assert shown("stat_block", HAG, {"name": "claws"}, False) == looks
    glare = shown("stat_block", HAG, {"name": "Death Glare"}, True)
    assert glare["deed"] == "She stares at one frightened creature."
    spells = {"Hex": {"desc": "A curse."}, "Shield": {"desc": "A barrier."}}
    assert shown("spell_list", spells, {"name": "hex"}, True) == {"desc": "A curse."}
    assert shown("spell_list", spells, {"name": "hex"}, False) is None
    assert shown("spell_list", spells, {"name": "dagger"}, True) is None
    assert len(shown("lore", "x" * 10_000, {}, False)) == 600


@given(
    st.recursive(
        st.none() | st.text() | st.integers(-9, 9),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(["name", "desc", "actions", "damage", "damage_type", "size"]), x
            )
        ),
    )
)
def test_whatever_a_source_gives_can_be_shown(value: Any) -> None:
    for kind in ("stat_block", "spell_list", "lore"):
        orjson.dumps(shown(kind, value, {"name": "x"}, True))
