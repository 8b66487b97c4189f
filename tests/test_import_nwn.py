"""Importing a Neverwinter Nights log: every roll is found, with what came of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from foretell.streams.importers import ForeignFormatError, convert_file, nwn
from foretell.streams.log import validate

Event = dict[str, Any]

DATA = Path(os.environ.get("FORETELL_DATA") or Path(__file__).parents[1] / "../shared/data")
RAW = DATA / "nwn" / "lalaland_04-03_full.log"
recorded = pytest.mark.skipif(not RAW.exists(), reason=f"no recording at {RAW} (FORETELL_DATA)")


def log_of(tmp_path: Path, *lines: str, start: int = 0) -> list[Event]:
    """Lines are ``"seconds text"``."""
    path = tmp_path / "client.log"
    stamped = []
    for line in lines:
        seconds, text = line.split(" ", 1)
        minutes, rest = divmod(start + int(seconds), 60)
        stamped.append(f"[CHAT WINDOW TEXT] [Sat Apr 03 11:{minutes:02}:{rest:02}] {text}")
    path.write_text("\r\n".join(stamped) + "\r\n", newline="")
    return nwn.convert(path)


def of(records: list[Event], kind: str) -> list[Event]:
    return [record for record in records if record["kind"] == kind]


def only(records: list[Event]) -> tuple[Event, Event]:
    """The one outcome and its one result."""
    (outcome,) = of(records, "outcome")
    (result,) = outcome["results"]
    return outcome, result


# The recorded play


@recorded
def test_every_roll_of_the_recorded_log_is_found(tmp_path: Path) -> None:
    log = tmp_path / "n.jsonl"
    summary = convert_file("nwn", RAW, log)
    assert summary.results["attack"] == {
        "hit": 787,
        "miss": 1080,
        "critical": 153,
        "concealed": 18,
    }
    assert summary.results["attempt"] == {
        "hit": 50,
        "miss": 79,
        "critical": 11,
        "resisted": 9,
        "concealed": 1,
    }
    report = validate(log)
    assert (report.errors, report.warnings) == ([], [])
    assert dict(report.kinds) == summary.kinds
    assert summary.clock == "engine"


@recorded
def test_lines_out_of_place_are_left_out_and_counted(tmp_path: Path) -> None:
    """The recording ends in three lines that go back by up to 43 minutes."""
    summary = convert_file("nwn", RAW, tmp_path / "n.jsonl")
    assert summary.left_out == 3
    assert "stian" not in (tmp_path / "n.jsonl").read_text()


@recorded
def test_most_hits_have_their_damage_and_every_kill_its_roll() -> None:
    results = [r for o in of(nwn.convert(RAW), "outcome") for r in o["results"]]
    rolled = [r for r in results if r.get("values", {}).get("test") in ("attack", "attempt")]
    landed = [r for r in rolled if r["result"] in ("hit", "critical")]
    assert len(landed) == 1001
    hurt = [r for r in landed if "damage" in r["values"]]
    assert len(hurt) > 950
    assert all(sum(r["values"]["damage_types"].values()) == r["values"]["damage"] for r in hurt)
    assert len([r for r in rolled if "killed" in r["values"]]) >= 55
    assert not [r for r in rolled if r["result"] == "miss" and "damage" in r["values"]]


@recorded
def test_time_never_goes_back_and_the_start_is_a_date() -> None:
    records = nwn.convert(RAW)
    times = [r["t"] for r in records]
    assert times == sorted(times)
    assert all(t == int(t) for t in times)
    assert records[0]["started"] == "2004-04-03T11:26:24Z"  # a Saturday
    assert records[0]["year"] == "inferred from the weekday"


@recorded
def test_the_party_and_its_foes_are_told_apart() -> None:
    sides: dict[str, str] = {}
    for record in of(nwn.convert(RAW), "patch"):
        for operation in record["patch"]:
            path, value = operation["path"].split("/"), operation["value"]
            if len(path) == 3 and path[1] == "actors":
                sides[path[2]] = value["side"]
            elif path[-1] == "side":
                sides[path[2]] = value
    party = {actor for actor, side in sides.items() if side == "party"}
    assert party >= {"durga", "mathan-kelter", "smith-smurf", "xinthah-moragh"}
    assert sides["legendary-bear"] == sides["lizardman-hero"] == "foes"


@recorded
def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 9)):
        convert_file("nwn", RAW, tmp_path / name, seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@recorded
def test_nothing_depends_on_lines_that_come_seconds_later(tmp_path: Path) -> None:
    whole = nwn.convert(RAW)
    lines = RAW.read_text().splitlines()
    for share in (0.1, 0.5, 0.9):
        part = tmp_path / RAW.name
        part.write_text("\n".join(lines[: int(len(lines) * share)]) + "\n")
        told = nwn.convert(part)[:-1]
        until = told[-1]["t"] - nwn.DAMAGE_WINDOW
        early = [r for r in told[1:] if r["t"] < until]
        assert early == [r for r in whole[1:] if r["t"] < until]
        assert len(early) > 100


# One line each


@pytest.mark.parametrize(
    ("word", "result"),
    [("hit", "hit"), ("miss", "miss"), ("critical hit", "critical"), ("resisted", "resisted")],
)
def test_a_roll_is_an_outcome_of_actor_and_action(tmp_path: Path, word: str, result: str) -> None:
    line = f"0 Durga attacks Legendary Wolf : *{word}* : (13 + 27 = 40)"
    outcome, entry = only(log_of(tmp_path, line))
    assert outcome["actor"] == "durga"
    assert outcome["action"] == {"type": "attack", "name": "Attack", "target": "legendary-wolf"}
    assert "action_id" not in outcome
    assert entry == {
        "target": "legendary-wolf",
        "result": result,
        "values": {"test": "attack", "natural": 13, "bonus": 27, "roll": 40},
    }


def test_modes_may_stack_before_a_roll(tmp_path: Path) -> None:
    line = "0 Attack Of Opportunity : Improved Expertise : Xin'thah Moragh attacks Stag Beetle"
    outcome, entry = only(
        log_of(tmp_path, f"{line} : *hit* : (9 + 20 = 29 : Threat Roll: 2 + 20 = 22)")
    )
    assert outcome["actor"] == "xinthah-moragh"
    assert outcome["action"]["name"] == "Improved Expertise"
    assert outcome["action"]["modes"] == ["Attack Of Opportunity", "Improved Expertise"]
    assert entry["values"]["roll"] == 29


def test_a_concealed_target_is_a_result_of_its_own(tmp_path: Path) -> None:
    line = "0 A Wolf attacks Durga : *target concealed: 50%* : (17 + 8 = 25)"
    _, entry = only(log_of(tmp_path, line))
    assert (entry["result"], entry["values"]["concealment"]) == ("concealed", 50)


def test_an_attempt_is_counted_apart_from_attacks(tmp_path: Path) -> None:
    line = "0 Power Attack : Fighter attempts Called Shot: Arm on Durga : *miss* : (3 + 4 = 7)"
    outcome, entry = only(log_of(tmp_path, line))
    assert outcome["action"]["type"] == "use"
    assert outcome["action"]["name"] == "Called Shot: Arm"
    assert entry["values"]["test"] == "attempt"


def test_damage_belongs_to_the_roll_that_did_it_and_then_shows_in_the_state(
    tmp_path: Path,
) -> None:
    records = log_of(
        tmp_path,
        "0 Durga attacks Wolf : *hit* : (5 + 23 = 28)",
        "0 Durga attacks Wolf : *miss* : (2 + 23 = 25)",
        "0 Durga attacks Wolf : *hit* : (9 + 20 = 29)",
        "0 Durga damages Wolf: 10 (9 Physical 1 Electrical)",
        "1 Durga damages Wolf: 20 (20 Negative Energy)",
        "1 Durga killed Wolf",
    )
    first, second, third = (o["results"][0]["values"] for o in of(records, "outcome"))
    assert (first["damage"], first["damage_types"]) == (10, {"physical": 9, "electrical": 1})
    assert "damage" not in second
    assert (third["damage"], third["damage_types"]) == (20, {"negative energy": 20})
    assert (third["killed"], third["target_hp"]) == (True, 0)
    assert "killed" not in first
    patches = [op for p in of(records, "patch") for op in p["patch"]]
    health = [op["value"] for op in patches if op["path"] == "/actors/wolf/health"]
    assert health == [{"damage_taken": 10}, {"damage_taken": 30}, {"damage_taken": 0}]
    assert patches[-2]["path"] == "/actors/wolf/conditions"
    assert patches[-2]["value"] == ["dead"]


def test_damage_that_comes_too_late_belongs_to_no_roll(tmp_path: Path) -> None:
    records = log_of(
        tmp_path, "0 A attacks B : *hit* : (5 + 1 = 6)", "9 A damages B: 3 (3 Physical)"
    )
    assert "damage" not in only(records)[1]["values"]


def test_a_spell_is_declared_when_it_is_begun(tmp_path: Path) -> None:
    records = log_of(
        tmp_path,
        "0 Smith Smurf casting Mage Armor",
        "3 Smith Smurf casts Mage Armor",
        "4 Smith Smurf casting Harm",
        "6 Smith Smurf casting Heal",
        "8 Smith Smurf casts Light",
    )
    armor, harm, back, heal = of(records, "action")
    assert (armor["t"], armor["action"]) == (0.0, {"type": "cast", "name": "Mage Armor"})
    cast, light = of(records, "outcome")
    assert (cast["t"], cast["action_id"]) == (3.0, armor["action_id"])
    assert (back["t"], back["action_id"], back["action"]) == (6.0, harm["action_id"], None)
    assert heal["action_id"] != harm["action_id"]
    assert light["action"] == {"type": "cast", "name": "Light"}


def test_a_spell_that_is_never_cast_is_taken_back_after_a_round(tmp_path: Path) -> None:
    records = log_of(tmp_path, "1 Smith Smurf casting Harm", "90 Xin uses Potion of Speed")
    harm, back = of(records, "action")
    assert (back["t"], back["action_id"], back["action"]) == (6.0, harm["action_id"], None)


def test_saves_and_checks_and_potions_are_outcomes(tmp_path: Path) -> None:
    records = log_of(
        tmp_path,
        "0 Xin : Will Save : *success* : (12 + 9 = 21 vs. DC: 14)",
        "0 Take 20 : Xin : Heal : *failure* : (20 + 5 = 25 vs. DC: 30)",
        "0 Xin : Tumble : *success not possible* : (4 - 11 = -7 vs. DC: 15)",
        "1 Xin uses Potion of Speed",
    )
    found = [
        (o["action"]["type"], o["action"]["name"], o["results"][0]["result"])
        for o in of(records, "outcome")
    ]
    assert found == [
        ("save", "Will Save", "success"),
        ("check", "Heal", "failure"),
        ("check", "Tumble", "failure"),
        ("use", "Potion of Speed", "success"),
    ]
    tumble = of(records, "outcome")[2]["results"][0]["values"]
    assert tumble == {"test": "check", "natural": 4, "bonus": -11, "roll": -7, "dc": 15}


def test_what_is_said_is_told_apart_from_what_the_engine_reports(tmp_path: Path) -> None:
    records = log_of(
        tmp_path,
        "0 Captain Bernard: Hello matey!",
        "0 Experience Points Gained:  32",
        "0 BONUS XP: 109",
        "0 Lost Item: Mace +1",
        "0 Durga: (223xp)(16863tnl)",
        "0 Xin : Initiative Roll : 10 : (8 + 2 = 10)",
        "0 Hero : Damage Reduction absorbs 14 damage : 1774 points remaining",
        "0 (PvP) 5 found.",
    )
    assert [(s["speaker"], s["text"]) for s in of(records, "say")] == [
        ("captain-bernard", "Hello matey!")
    ]


def test_the_mode_is_combat_until_two_rounds_without_a_roll(tmp_path: Path) -> None:
    roll = "A attacks B : *miss* : (1 + 1 = 2)"
    records = log_of(tmp_path, f"0 {roll}", f"12 {roll}", "25 A: Phew.", f"30 {roll}")
    modes = [
        (p["t"], op["value"])
        for p in of(records, "patch")
        for op in p["patch"]
        if op["path"] == "/mode"
    ]
    assert modes == [(0.0, "combat"), (25.0, "exploration"), (30.0, "combat")]
    kinds = [r["kind"] for r in records if r["t"] == 25.0]
    assert kinds == ["patch", "say"]


def test_an_area_is_a_place(tmp_path: Path) -> None:
    records = log_of(tmp_path, "0 [Server] You are now in a Party PVP area.")
    (patch,) = of(records, "patch")
    assert patch["patch"][0]["value"] == {"id": "area-1", "name": "Party PVP area"}


def test_a_creature_that_fights_again_is_another_of_its_name(tmp_path: Path) -> None:
    roll = "Durga attacks Wolf : *hit* : (19 + 1 = 20)"
    records = log_of(tmp_path, f"0 {roll}", "0 Durga killed Wolf", f"2 {roll}")
    conditions = [
        op["value"]
        for p in of(records, "patch")
        for op in p["patch"]
        if op["path"] == "/actors/wolf/conditions"
    ]
    assert conditions == [["dead"], []]


def test_a_new_year_is_later_than_the_old(tmp_path: Path) -> None:
    path = tmp_path / "client.log"
    path.write_text(
        "[CHAT WINDOW TEXT] [Fri Dec 31 23:59:59] A: Happy\n"
        "[CHAT WINDOW TEXT] [Sat Jan 01 00:00:01] B: new year!\n"
    )
    records = nwn.convert(path)
    assert records[0]["started"] == "2004-12-31T23:59:59Z"
    assert [s["t"] for s in of(records, "say")] == [0.0, 2.0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"Dear diary\n", "is not a Neverwinter Nights log"),
        (b'{"event_type":"message","timestamp":1}\n' * 30, "is not a Neverwinter Nights log"),
        (b'{"t":0.0,"kind":"session","format":1}\n', "is a session log already"),
        (b"[CHAT WINDOW TEXT] [Sat Apr 31 11:26:24] x\n", "line 1: no such date"),
        (b"[CHAT WINDOW TEXT] [Sat Foo 03 11:26:24] x\n", "line 1: no such date"),
        (b"[CHAT WINDOW TEXT] [Sat Apr 03 31:26:24] x\n", "line 1: no such date"),
        (b"\x89PNG\r\n\x1a\n\xff", "not UTF-8"),
    ],
)
def test_what_is_no_client_log_is_refused_in_one_line(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "wrong.log"
    path.write_bytes(content)
    with pytest.raises(ForeignFormatError) as caught:
        convert_file("nwn", path, tmp_path / "n.jsonl")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["wrong.log"]
