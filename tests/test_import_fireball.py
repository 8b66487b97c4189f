"""Importing FIREBALL: what happened is found, where it happened, and nothing before its time."""

from __future__ import annotations

import copy
import os
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from foretell.streams import importers
from foretell.streams.importers import ForeignFormatError, convert_file, fireball
from foretell.streams.importers.avrae import (
    Health,
    Roll,
    Sheet,
    attack_odds,
    first_roll,
    healths,
    match_name,
    results_of,
    save_odds,
)
from foretell.streams.log import BadRecord, LogError, read, validate

Json = Any
Event = dict[str, Any]

DATA = Path(os.environ.get("FORETELL_DATA") or Path(__file__).parents[1] / "../shared/data")
RAW = DATA / "fireball" / "raw.jsonl"
recorded = pytest.mark.skipif(not RAW.exists(), reason=f"no recording at {RAW} (FORETELL_DATA)")


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return [orjson.loads(line) for line in RAW.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def records() -> list[Event]:
    return fireball.convert(RAW)


def of(records: list[Event], kind: str) -> list[Event]:
    return [record for record in records if record["kind"] == kind]


def save(path: Path, events: list[Event]) -> Path:
    path.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in events))
    return path


# The recorded combat


@recorded
def test_it_becomes_a_log_without_an_error(tmp_path: Path) -> None:
    log = tmp_path / "f.jsonl"
    summary = convert_file("fireball", RAW, log)
    report = validate(log)
    assert (report.errors, report.warnings) == ([], [])
    assert dict(report.kinds) == summary.kinds
    assert summary.results["attack"] == {"hit": 6, "miss": 6}
    assert summary.clock == "human"
    assert summary.duration == pytest.approx(64.8 * 60, abs=3)
    assert os.listdir(tmp_path) == ["f.jsonl"]


@recorded
def test_the_header_says_what_it_is(records: list[Event]) -> None:
    header = records[0]
    assert (header["clock"], header["licence"]) == ("human", "CC-BY-4.0")
    assert header["started"] == "2022-11-25T21:35:20.008Z"
    assert records[-1]["kind"] == "end"


@recorded
def test_every_run_of_the_bot_is_one_outcome_with_all_its_targets(
    records: list[Event], events: list[Event]
) -> None:
    runs = [e for e in events if e["event_type"] == "automation_run"]
    assert len(runs) == 33
    rolled = [  # what the bot rolls without an automation: checks, saves, a death save
        o
        for o in of(records, "outcome")
        if o["results"][0].get("values", {}).get("test") == "check"
    ]
    assert len(rolled) == 3
    assert len(of(records, "outcome")) == len(runs) + 5
    five = next(o for o in of(records, "outcome") if len(o["results"]) > 1)
    assert [(r["target"], r["result"]) for r in five["results"]] == [
        ("verity-silverdust", "success"),
        ("nitar", "failure"),
        ("bartholomew", "failure"),
        ("aleksandra", "success"),
        ("keya", "success"),
    ]


@recorded
def test_a_button_inside_an_effect_is_not_a_save_that_was_made(
    records: list[Event], events: list[Event]
) -> None:
    """Of the recording's 14 nodes of type save, three define a button and were never rolled."""

    def nodes(value: Json) -> int:
        inner = value.values() if isinstance(value, dict) else value
        mine = isinstance(value, dict) and value.get("type") == "save"
        return mine + sum(nodes(v) for v in inner if isinstance(v, dict | list))

    runs = [e["automation_result"] for e in events if e["event_type"] == "automation_run"]
    assert sum(map(nodes, runs)) == 14
    saves = [
        result["result"]
        for outcome in of(records, "outcome")
        for result in outcome["results"]
        if "dc" in result.get("values", {})
    ]
    assert Counter(saves) == {"success": 6, "failure": 5}


@recorded
def test_a_button_press_is_an_action_and_its_outcome(records: list[Event]) -> None:
    presses = [a for a in of(records, "action") if a["action"]["name"] == "Resist Frightened"]
    assert [(a["actor"], a["turn"]) for a in presses] == [
        ("nitar", "r1-bartholomew"),
        ("bartholomew", "r1-bartholomew"),
        ("nitar", "r2-nitar"),
    ]
    outcomes = {o["action_id"]: o for o in of(records, "outcome")}
    assert [outcomes[a["action_id"]]["results"][0]["result"] for a in presses] == [
        "failure",
        "success",
        "failure",
    ]


@recorded
def test_an_action_stands_when_it_was_typed_and_before_its_outcome(
    records: list[Event], events: list[Event]
) -> None:
    start = min(e.get("created_at") or e["timestamp"] for e in events)
    typed = {round(e["created_at"] - start, 6) for e in events if e["event_type"] == "command"}
    pressed = {
        round(e["timestamp"] - start, 6) for e in events if e["event_type"] == "button_press"
    }
    declared: dict[str, float] = {}
    for action in of(records, "action"):
        declared.setdefault(action["action_id"], action["t"])
    assert set(declared.values()) <= typed | pressed
    for outcome in of(records, "outcome"):
        assert 0 < outcome["t"] - declared[outcome["action_id"]] < 6


@recorded
def test_an_attack_has_its_real_name_its_target_and_its_odds(records: list[Event]) -> None:
    first = {a["action"]["name"]: a for a in reversed(of(records, "action"))}
    rapier = first["Rapier"]
    assert rapier["action"] == {"type": "attack", "target": "sh1", "name": "Rapier"}
    assert rapier["actor"] == "verity-silverdust"
    assert rapier["odds"] == {"hit": 0.55, "miss": 0.4, "critical": 0.05}  # +5 against 14
    assert first["Whip"]["odds"] == {"hit": 0.6, "miss": 0.35, "critical": 0.05}
    whips = [a["odds"] for a in of(records, "action") if a["action"]["name"] == "Whip"]
    assert whips[1] == {
        "hit": 0.55,
        "miss": 0.35,
        "critical": 0.1,
    }  # the curse's -criton 19 is known
    bolts = [a for a in of(records, "action") if a["action"]["name"] == "Chaos Bolt"]
    assert "odds" not in bolts[0]  # the sheet does not say that it is an attack
    assert bolts[1]["odds"] == {"hit": 0.55, "miss": 0.4, "critical": 0.05}
    assert first["Horrific Appearance"]["odds"] == {"success": 0.55, "failure": 0.45}


@recorded
def test_an_ambiguous_action_is_declared_again_by_the_name_that_was_chosen(
    records: list[Event],
) -> None:
    names: dict[str, list[str]] = {}
    for action in of(records, "action"):
        names.setdefault(action["action_id"], []).append(action["action"]["name"])
    assert [n for n in names.values() if len(n) > 1] == [
        ["hexblade", "Hexblade's Curse"],
        ["shard", "Crystal Spike (Greataxe)"],
    ]


@recorded
def test_turns_follow_the_table_and_undoing_one_winds_back(records: list[Event]) -> None:
    turns = [t["turn"] for t in of(records, "turn")]
    assert turns[:3] == ["r0-sh1", "r1-verity-silverdust", "r1-nitar"]
    assert len(set(turns)) == len(turns) == 16
    (rewind,) = of(records, "rewind")
    at = records.index(rewind)
    before = [r for r in records[:at] if r["t"] <= rewind["to"]]
    assert before[-1] == {"t": rewind["to"], "kind": "turn_end", "turn": "r2-nitar"}
    assert [r["kind"] for r in records[at : at + 3]] == ["rewind", "state", "turn"]
    assert records[at + 2]["turn"] == "r2-nitar-2"
    undone = {"r2-bartholomew"}  # its turn was taken back and never ended
    assert {e["turn"] for e in of(records, "turn_end")} == set(turns) - undone


@recorded
def test_states_are_whole_and_say_which_action_they_are_an_effect_of(
    records: list[Event],
) -> None:
    states = of(records, "state")
    outcomes = {o["action_id"]: o["t"] for o in of(records, "outcome")}
    effects = [s for s in states if "because" in s]
    assert len(effects) == 34
    assert all(0 <= s["t"] - outcomes[s["because"]] < 0.06 for s in effects)
    ready = next(s["state"] for s in states if s["t"] > 280)
    assert (ready["mode"], ready["round"], ready["turn"]) == ("combat", 0, "sh1")
    assert len(ready["actors"]) == 7
    for actor in ready["actors"].values():
        assert all(isinstance(actor[key], int) for key in ("hp", "max_hp", "ac"))
        assert actor.get("attacks") or actor.get("spells")
    assert ready["actors"]["sh1"] == {
        "name": "SH1",
        "side": "foes",
        "hp": 52,
        "max_hp": 52,
        "ac": 14,
        "conditions": [],
        "attacks": ["Claws", "Death Glare", "Horrific Appearance"],
        "kind": "Sea Hag",
    }
    assert ready["actors"]["verity-silverdust"]["ac"] == 16
    assert states[-1]["state"]["mode"] == "exploration"
    assert states[-1]["state"]["actors"]["sh1"]["hp"] == -2


@recorded
def test_health_comes_from_the_bots_words_where_no_state_has_it(records: list[Event]) -> None:
    """The death save that brings Nitar back has no state update of its own."""
    saved = next(
        o
        for o in of(records, "outcome")
        if o["results"][0]["values"].get("roll") == 20 and o["results"][0]["target"] == "nitar"
    )
    assert saved["results"][0]["values"]["target_hp"] == 1
    state = records[records.index(saved) + 1]
    assert state["because"] == saved["action_id"]
    assert state["state"]["actors"]["nitar"]["hp"] == 1


@recorded
def test_damage_and_what_it_leaves_are_in_the_outcome(records: list[Event]) -> None:
    hits = [
        (r["values"]["damage"], r["values"]["target_hp"])
        for o in of(records, "outcome")
        for r in o["results"]
        if r["result"] == "hit"
    ]
    assert hits == [(7, 45), (3, 42), (6, 36), (9, 21), (17, 4), (2, 2)]


@recorded
def test_only_what_people_said_is_said(records: list[Event]) -> None:
    said = of(records, "say")
    assert len(said) == 48
    assert not [s for s in said if s["text"].startswith("!") or s["text"] in ("1", "2", "4", "y")]
    speakers = Counter(s["speaker"] for s in said)
    assert (speakers["dm"], speakers["player-0"]) == (6, 1)  # who masters is not known at first
    assert "avrae" not in speakers
    assert said[-1]["speaker"] == "verity-silverdust"


@recorded
def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 7)):
        convert_file("fireball", RAW, tmp_path / f"{name}.jsonl", seed)
    contents = {path.read_bytes() for path in tmp_path.iterdir()}
    assert len(contents) == 1


# No future leaks into the past


def turned(node: Json) -> Json:
    """The same tree with every result the other way round and every number another."""
    if isinstance(node, list):
        return [turned(inner) for inner in node]
    if not isinstance(node, dict):
        return node
    node = {key: turned(value) for key, value in node.items()}
    for key in ("did_hit", "did_save", "did_crit"):
        if key in node:
            node[key] = not node[key]
    for key in ("attack_bonus", "ac", "dc", "damage", "total", "counter_remaining"):
        if isinstance(node.get(key), int):
            node[key] += 7
    return node


def prefix(records: list[Event], until: float) -> list[Event]:
    return [record for record in records if record["t"] < until]


@recorded
def test_nothing_before_an_outcome_comes_from_it(tmp_path: Path, events: list[Event]) -> None:
    """Each run in turn is falsified, with the state that follows: all lines before it stay."""
    start = min(e.get("created_at") or e["timestamp"] for e in events)
    true = fireball.convert(RAW)
    for number, run in enumerate(events):
        if run["event_type"] != "automation_run":
            continue
        false = list(events)
        false[number] = {**run, "automation_result": turned(run["automation_result"])}
        false[number]["automation"] = []
        for later, event in enumerate(events):
            if event.get("probable_interaction_id") == run["interaction_id"]:
                changed = copy.deepcopy(event)
                changed["human_readable"] = event["human_readable"].replace("/", "9/")
                for combatant in changed["data"]["combatants"]:
                    combatant["hp"] = combatant["ac"] = 99
                false[later] = changed
        told = fireball.convert(save(tmp_path / "false.jsonl", false))
        at = round(run["timestamp"] - start, 6)
        assert prefix(told, at) == prefix(true, at)
        rolls = any(key in str(run["automation_result"]) for key in ("did_hit", "damage_roll"))
        assert not rolls or told != true  # the falsification is seen at all


@recorded
def test_what_is_recorded_after_a_moment_does_not_reach_before_it(
    tmp_path: Path, events: list[Event]
) -> None:
    """A command is recorded after its result and carries the caster as it was then."""
    start = min(e.get("created_at") or e["timestamp"] for e in events)
    true = fireball.convert(RAW)
    for number, command in enumerate(events):
        if command["event_type"] != "command" or not (command["caster"] or {}).get("stats"):
            continue
        false = list(events)
        caster = {**command["caster"], "attacks": [], "ac": 1, "hp": 1, "saves": {}, "actions": []}
        false[number] = {**command, "caster": caster}
        told = fireball.convert(save(tmp_path / "false.jsonl", false))
        at = round(command["timestamp"] - start, 6)
        assert prefix(told, at) == prefix(true, at)


@recorded
def test_the_past_does_not_depend_on_whether_there_is_a_future(
    tmp_path: Path, events: list[Event], records: list[Event]
) -> None:
    start = min(e.get("created_at") or e["timestamp"] for e in events)
    ordered = sorted(events, key=lambda event: event["timestamp"])
    for share in (0.2, 0.5, 0.8):
        kept = ordered[: int(len(ordered) * share)]
        told = fireball.convert(save(tmp_path / "half.jsonl", kept))
        until = kept[-1]["timestamp"] - start - 6  # a command is recorded once it is done
        assert prefix(told[:-1], until) == prefix(records, until)


# The wrong file


def test_what_is_not_fireball_is_refused_in_one_line(tmp_path: Path) -> None:
    event = {"combat_id": "c", "event_type": "message", "timestamp": 1.0}
    wrong: list[tuple[bytes, str]] = [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"[CHAT WINDOW TEXT] [Sat Apr 03 11:26:24] A attacks B : *hit* : (1 + 1 = 2)\n", "line 1"),
        (b'{"t":0,"kind":"session","format":1}\n', "is a session log already"),
        (b'{"combat_state_before":[]}\n', "filtered triples"),
        (b'{"event_type":"message"}\n', 'no "event_type" and "timestamp"'),
        (b'{"event_type":"message","timestamp":"soon"}\n', "line 1"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"\x1f\x8b\x08broken", "damaged gzip"),
        (orjson.dumps(event) + b'\n{"half', "line 2: is not a FIREBALL recording"),
        (orjson.dumps(event) + b"\n" + orjson.dumps(event | {"combat_id": "d"}), "another combat"),
        (
            orjson.dumps(event | {"event_type": "command"}),
            "line 1: this command is not as FIREBALL's",
        ),
        (
            orjson.dumps(
                event | {"event_type": "combat_state_update", "data": {"combatants": [3]}}
            ),
            "line 1: this combat_state_update",
        ),
    ]
    path, log = tmp_path / "wrong.jsonl", tmp_path / "log.jsonl"
    for content, reason in wrong:
        path.write_bytes(content)
        with pytest.raises(ForeignFormatError) as caught:
            convert_file("fireball", path, log)
        message = str(caught.value)
        assert reason in message
        assert message.startswith(str(path))
        assert "\n" not in message
        assert os.listdir(tmp_path) == ["wrong.jsonl"]


def test_an_import_replaces_a_log_whole_and_never_its_own_source(tmp_path: Path) -> None:
    event = {"combat_id": "c", "event_type": "message", "timestamp": 5.0, "created_at": 4.0}
    said = event | {"content": "Hello.", "author_name": "Player 1", "author_id": "9"}
    source, log = save(tmp_path / "raw.jsonl", [said]), tmp_path / "log.jsonl.gz"
    summary = convert_file("fireball", source, log)
    older, notes = log.read_bytes(), tmp_path / "notes.txt"
    assert convert_file("fireball", source, log) == summary and log.read_bytes() == older
    notes.write_text("my own notes")
    with pytest.raises(LogError, match="holds something that is not a session log"):
        convert_file("fireball", source, notes)
    assert notes.read_text() == "my own notes"
    assert [r.kind for r in read(log)] == ["session", "say", "end"]
    assert (summary.session, summary.records, summary.kinds["say"]) == ("c", 3, 1)
    for target in (source, tmp_path / "." / "raw.jsonl"):
        with pytest.raises(ForeignFormatError, match="overwritten"):
            convert_file("fireball", source, target)
    with pytest.raises(ForeignFormatError, match="unknown format 'chess'"):
        convert_file("chess", source, log)
    with pytest.raises(LogError, match="directory"):
        convert_file("fireball", source, tmp_path)
    with pytest.raises(ForeignFormatError, match="no such file"):
        convert_file("fireball", tmp_path / "none", log)
    with pytest.raises(ForeignFormatError, match="directory"):
        convert_file("fireball", tmp_path, log)
    assert sorted(os.listdir(tmp_path)) == ["log.jsonl.gz", "notes.txt", "raw.jsonl"]


def test_an_import_that_fails_half_way_leaves_the_older_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"combat_id": "c", "event_type": "message", "timestamp": 5.0, "content": "Hello."}
    source, log = save(tmp_path / "raw.jsonl", [said]), tmp_path / "log.jsonl"
    convert_file("fireball", source, log)
    older = log.read_bytes()
    good = fireball.convert(source)
    broken = importers.Format("", lambda path, seed: [*good, {"t": 0.0, "kind": "say"}])
    monkeypatch.setitem(importers.FORMATS, "broken", broken)  # type: ignore[arg-type]
    with pytest.raises(BadRecord):
        convert_file("broken", source, log)
    assert log.read_bytes() == older
    assert sorted(os.listdir(tmp_path)) == ["log.jsonl", "raw.jsonl"]


def test_a_command_that_comes_to_nothing_is_taken_back(tmp_path: Path) -> None:
    typed = {
        "combat_id": "c",
        "event_type": "command",
        "timestamp": 5.0,
        "created_at": 4.0,
        "message_id": 1,
        "author_id": "9",
        "author_name": "Player 1",
        "content": "!a axe -t orc",
        "command_name": "action",
        "caster": {"name": "Mira"},
        "targets": [{"name": "Orc"}],
    }
    _, declared, back, _ = fireball.convert(save(tmp_path / "raw.jsonl", [typed]))
    assert (declared["t"], declared["actor"]) == (0.0, "mira")
    assert declared["action"] == {"type": "attack", "target": "orc", "name": "axe"}
    assert (back["t"], back["action_id"], back["action"]) == (1.0, "a1", None)


# The bot's words


def test_odds_follow_the_rules() -> None:
    assert attack_odds(5, 14) == {"hit": 0.55, "miss": 0.4, "critical": 0.05}
    assert attack_odds(0, 30) == {"hit": 0.0, "miss": 0.95, "critical": 0.05}
    assert attack_odds(30, 10) == {"hit": 0.9, "miss": 0.05, "critical": 0.05}
    assert attack_odds(5, 14, advantage=1)["miss"] == pytest.approx(0.16)
    assert attack_odds(5, 14, advantage=-1)["critical"] == pytest.approx(0.0025)
    assert attack_odds(5, 14, crit_on=19)["critical"] == 0.1
    assert save_odds(1, 11) == {"success": 0.55, "failure": 0.45}
    assert save_odds(20, 11) == {"success": 1.0, "failure": 0.0}
    assert save_odds(-9, 15) == {"success": 0.0, "failure": 1.0}


def test_the_odds_are_those_of_counting_the_dice() -> None:
    for bonus in range(-5, 30, 3):
        for ac in range(1, 35, 4):
            faces = [
                "critical" if d == 20 else "hit" if d != 1 and d + bonus >= ac else "miss"
                for d in range(1, 21)
            ]
            counted = {word: faces.count(word) / 20 for word in ("hit", "miss", "critical")}
            assert attack_odds(bonus, ac) == pytest.approx(counted)
            saved = sum(d + bonus >= ac for d in range(1, 21)) / 20
            assert save_odds(bonus, ac)["success"] == pytest.approx(saved)


def test_health_is_read_from_every_way_the_bot_writes_it() -> None:
    text = (
        "```md\n  20: Verity Silverdust <18/18 HP> (AC 16, Mage Armor [8.0 hours])\n"
        "# 15: Nitar <31/35 HP> (+4 temp) (AC 15, Rage)\n   9: SH1 <-2/52 HP> ```\n"
        "Keya: <0/24 HP>\nSH2: <Injured>\nBarty is UP with 1 HP!"
    )
    assert healths(text) == {
        "Verity Silverdust": Health(18, 18, 0, 16),
        "Nitar": Health(31, 35, 4, 15),
        "SH1": Health(-2, 52, 0),
        "Keya": Health(0, 24, 0),
        "Barty": Health(1),
    }


def test_a_name_is_matched_as_the_bot_does() -> None:
    names = ["Shift", "Wildhunt Shifting", "Rage", "Crystal Spike (Greataxe)"]
    assert match_name("crystal", names) == "Crystal Spike (Greataxe)"
    assert match_name("shift", names) == "Shift"
    assert match_name("r", names) is None
    assert match_name("shard", names) is None


def test_a_bonus_may_be_written_as_a_sum() -> None:
    sheet = Sheet.read({"stats": {"charisma": 18, "prof_bonus": 2}})
    assert sheet.number("{charismaMod + proficiencyBonus}") == 6
    assert sheet.number(5) == 5
    assert sheet.number("1d4") is None
    assert sheet.number(None) is None


def test_only_the_first_roll_of_an_ability_decides_it() -> None:
    attack = {"type": "attack", "attackBonus": "5", "hit": [{"type": "save", "stat": "con"}]}
    nested = [{"type": "condition", "onTrue": [{"type": "target", "effects": [attack]}]}]
    assert first_roll(nested) == Roll("attack", "5", sure=False), "in some cases only"
    assert first_roll(nested[0]["onTrue"]) == Roll("attack", "5")
    effect = {"type": "ieffect2", "effects": {"ac": 1}, "buttons": [{"automation": [attack]}]}
    assert first_roll([effect]) is None


def target(uuid: str, *nodes: Json) -> Json:
    return {"type": "target_iteration", "target_id": uuid, "results": list(nodes)}


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (
            [target("o", {"type": "attack", "did_hit": True, "did_crit": True})],
            [("orc", "critical")],
        ),
        ([target("o", {"type": "save", "did_save": None})], [("orc", "unresolved")]),
        ([target("o", {"type": "damage", "damage": 3})], [("orc", "success")]),
        ([{"type": "counter", "counter_name": "Ki"}], [(None, "success")]),
        (  # two beams at one target are two results
            [target("o", {"type": "attack", "did_hit": hit}) for hit in (True, False)],
            [("orc", "hit"), ("orc", "miss")],
        ),
        (  # what the caster gets beside its target is no result of its own
            [target("m", {"type": "ieffect", "effect": {"name": "Hexing"}}), target("o")],
            [("orc", "success")],
        ),
        ([target("m", {"type": "ieffect", "effect": {"name": "Rage"}})], [("mira", "success")]),
    ],
)
def test_a_tree_of_results_is_read_by_target(
    nodes: list[Json], expected: list[tuple[str | None, str]]
) -> None:
    tree = {"type": "root", "children": [{"type": "target", "results": nodes}]}
    found = results_of(tree, "mira", {"o": "orc", "m": "mira"})
    assert [(r.get("target"), r["result"]) for r in found] == expected


def test_damage_adds_up_and_healing_is_told_apart() -> None:
    nodes = [{"type": "damage", "damage": n} for n in (3, 4, -5)]
    (result,) = results_of({"children": [target("o", *nodes)]}, "mira", {"o": "orc"})
    assert result["values"] == {"damage": 7, "healing": 5}


@recorded
def test_a_save_stands_on_the_action_where_it_is_known_beforehand(records: list[Event]) -> None:
    found = {each["action_id"]: each["action"] for each in of(records, "action") if each["action"]}
    saves = {key for key, action in found.items() if "save" in action}
    assert saves == {"a2", "a5", "a11", "a14", "a21", "a25"}
    assert {found[key]["save"] for key in saves} == {"wisdom"}
    assert "save" not in found["a20"], "nobody had seen that spell before its outcome"
    assert "save" not in found["a30"], "one is rolled for some of what may come of it"
    tested = [
        outcome["action_id"]
        for outcome in of(records, "outcome")
        if any(each.get("values", {}).get("dc") for each in outcome["results"])
    ]
    assert set(tested) == saves | {"a20"}
