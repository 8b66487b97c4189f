"""Importing Pokémon Showdown battles: every move, when it was chosen, and what came of it."""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import jsonpatch
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell import replay
from foretell.config import Settings
from foretell.streams.importers import ForeignFormatError, convert_file, showdown
from foretell.streams.importers.showdown_times import WINDOWS, Times
from foretell.streams.log import validate

Event = dict[str, Any]

DATA = Path(os.environ.get("FORETELL_DATA") or Path(__file__).parents[1] / "../shared/data")
BATTLES = sorted((DATA / "showdown").glob("*.log"))
recorded = pytest.mark.skipif(not BATTLES, reason=f"no recordings in {DATA} (FORETELL_DATA)")
each_battle = pytest.mark.parametrize("battle", BATTLES, ids=lambda path: path.stem)

OPENING = """\
|t:|1795233921
|player|p1|Ann||
|player|p2|Bob||
|tier|[Gen 9] Random Battle
|start
|switch|p1a: Gumshoos|Gumshoos, L95, F|321/321
|switch|p2a: Lanturn|Lanturn, L89, M|300/300
|turn|1
"""


def battle_of(tmp_path: Path, text: str, seed: int = 0) -> list[Event]:
    """A battle of Gumshoos against Lanturn; ``text`` is what follows ``|turn|1``."""
    path = tmp_path / "battle.log"
    path.write_text(OPENING + text, encoding="utf-8")
    return showdown.convert(path, seed)


def of(records: list[Event], kind: str) -> list[Event]:
    return [record for record in records if record["kind"] == kind]


def told(records: list[Event]) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Of each outcome: the actor, what it did, and target and result of each."""
    actions: dict[str, Event] = {}
    found = []
    for record in records:
        if record["kind"] == "action":
            actions[record["action_id"]] = record
        elif record["kind"] == "outcome":
            by = actions[record["action_id"]] if "action_id" in record else record
            results = [(r.get("target", ""), r["result"]) for r in record["results"]]
            found.append((by["actor"], by["action"]["name"], results))
    return found


def values(records: list[Event], index: int = 0) -> Event:
    found: Event = of(records, "outcome")[index]["results"][0].get("values", {})
    return found


def states(records: list[Event]) -> list[Event]:
    """The state after each record."""
    state: Event = {}
    found = []
    for record in records:
        if record["kind"] == "state":
            state = record["state"]
        elif record["kind"] == "patch":
            state = jsonpatch.apply_patch(state, record["patch"])
        found.append(state)
    return found


# The recorded battles


@recorded
@each_battle
def test_every_move_of_a_recorded_battle_is_told_with_its_results(
    battle: Path, tmp_path: Path
) -> None:
    text = battle.read_text(encoding="utf-8")

    def count(kind: str) -> int:
        return len(re.findall(rf"^\|{kind}\|", text, re.MULTILINE))

    opening = text.split("|turn|1\n")[0]
    log = tmp_path / "b.jsonl"
    summary = convert_file("showdown", battle, log, seed=3)
    report = validate(log)
    assert (report.errors, report.warnings) == ([], [])
    assert summary.clock == "drawn"
    by_type = {name: sum(words.values()) for name, words in summary.results.items()}
    assert by_type["attack"] + by_type.get("use", 0) == count("move")
    assert by_type["switch"] == count("switch") - opening.count("|switch|")
    assert by_type.get("cant", 0) == count("cant")
    assert summary.kinds["turn"] == summary.kinds["turn_end"] == count("turn")
    found = Counter[str]()
    for words in summary.results.values():
        found.update(words)
    assert found["miss"] == count("-miss")
    assert found["immune"] == count("-immune")
    assert found["failure"] == count("-fail")
    results = [r for o in of(showdown.convert(battle), "outcome") for r in o["results"]]
    criticals = sum(r.get("values", {}).get("criticals", 0) for r in results)
    assert criticals == count("-crit") >= found["critical"]


@recorded
def test_all_the_battles_together_have_a_thousand_moves() -> None:
    results: Counter[str] = Counter()
    for battle in BATTLES:
        records = showdown.convert(battle)
        results.update(r["result"] for o in of(records, "outcome") for r in o["results"])
    assert len(BATTLES) == 16
    assert results == {
        "hit": 588,
        "success": 492,
        "failure": 69,
        "immune": 60,
        "prevented": 59,
        "critical": 41,
        "miss": 37,
        "blocked": 14,
        "charging": 1,
    }


@recorded
@each_battle
def test_health_and_who_is_out_are_in_the_end_as_the_engine_has_them(battle: Path) -> None:
    last: dict[str, str] = {}
    out: dict[str, str] = {}
    for line in battle.read_text(encoding="utf-8").splitlines():
        if found := re.match(r"\|(?:switch|drag)\|(p\d)a: ([^|]+)\|[^|]*\|([^|]+)", line):
            last[f"{found[1]} {found[2]}"] = found[3]
            out[found[1]] = found[2]
        elif found := re.match(r"\|-(?:damage|heal|sethp)\|(p\d)a?: ([^|]+)\|([^|]+)", line):
            last[f"{found[1]} {found[2]}"] = found[3]
        elif found := re.match(r"\|faint\|(p\d)a: (.+)", line):
            last[f"{found[1]} {found[2]}"] = "0 fnt"
    state = states(showdown.convert(battle))[-1]
    actors = {f"{each['side']} {each['name']}": each for each in state["actors"].values()}
    assert set(actors) == set(last)
    for name, text in last.items():
        hp, _, most = text.split()[0].partition("/")
        assert actors[name]["hp"] == int(hp), name
        assert not most or actors[name]["max_hp"] == int(most)
        assert ("fainted" in actors[name]["conditions"]) == (hp == "0"), name
    active = {each["side"]: each["name"] for each in actors.values() if each["active"]}
    assert active == out
    [winner] = re.findall(r"^\|win\|(.*)$", battle.read_text(encoding="utf-8"), re.MULTILINE)
    assert state["winner"] == winner


@recorded
@each_battle
def test_damage_of_the_results_is_the_damage_without_a_reason_of_its_own(battle: Path) -> None:
    """What the move did to its targets, counted from the lines; the user's own is left out."""
    health: dict[str, int] = {}
    expected = 0
    user = ""
    aimed = ""
    for line in battle.read_text(encoding="utf-8").splitlines():
        _, kind, *parts = [*line.split("|"), "", ""]
        who = re.sub(r"^(p\d)a?: ", r"\1 ", parts[0])
        if kind == "move":
            user, aimed = who, re.sub(r"^(p\d)a?: ", r"\1 ", parts[2])
        elif kind in ("switch", "drag"):
            health[who] = int(parts[2].split("/")[0])
        elif kind in ("-damage", "-heal", "-sethp"):
            now = int(re.split(r"[/ ]", parts[1])[0])
            free = "[from]" not in line and (who != user or aimed == user)
            expected += health[who] - now if kind == "-damage" and free else 0
            health[who] = now
    results = [r for o in of(showdown.convert(battle), "outcome") for r in o["results"]]
    assert sum(r.get("values", {}).get("damage", 0) for r in results) == expected > 0


@recorded
@each_battle
def test_nothing_is_told_before_it_was_chosen_or_known(battle: Path, tmp_path: Path) -> None:
    """The log of a battle that is cut after a turn is the beginning of the whole one's."""
    whole = showdown.convert(battle, 5)
    text = battle.read_text(encoding="utf-8")
    marks = [found.start() for found in re.finditer(r"^\|turn\|", text, re.MULTILINE)]
    for mark in (marks[2], marks[len(marks) // 2], marks[-1]):
        part = tmp_path / battle.name
        part.write_text(text[: text.index("\n", mark)], encoding="utf-8")
        told_so_far = showdown.convert(part, 5)
        begun = max(i for i, record in enumerate(told_so_far) if record["kind"] == "turn")
        assert told_so_far[: begun + 1] == whole[: begun + 1]
    actions: dict[str, Event] = {}
    state_at = states(whole)
    for state, record in zip(state_at, whole, strict=True):
        if record["kind"] == "action":
            actions[record["action_id"]] = record
            assert set(record) <= {"t", "kind", "action_id", "turn", "actor", "action"}
            assert set(record["action"]) <= {"type", "name", "target"}
            if record["action"]["type"] == "attack":
                assert state["actors"][record["action"]["target"]]["active"]
        elif record["kind"] == "turn":
            known = {a["name"] for a in state["actors"][record["actor"]]["actions"]}
            options = record.get("options", ())
            assert {o["name"] for o in options if o["type"] != "switch"} == known
            assert all(
                not state["actors"][o["target"]]["active"] for o in options if o["type"] == "switch"
            )


@recorded
@each_battle
def test_the_clock_is_drawn_with_the_seed_and_never_goes_back(battle: Path) -> None:
    one, same, other = (showdown.convert(battle, seed) for seed in (1, 1, 2))
    times = [record["t"] for record in one]
    assert times == sorted(times)
    assert one == same
    assert times != [record["t"] for record in other]
    assert [r["kind"] for r in one if r["kind"] == "outcome"] == [
        r["kind"] for r in other if r["kind"] == "outcome"
    ]
    assert (one[0]["clock"], one[0]["seed"], one[0]["medians"]) == ("drawn", 1, WINDOWS)
    declared = {r["action_id"]: r["t"] for r in reversed(one) if r["kind"] == "action"}
    waits = [r["t"] - declared[r["action_id"]] for r in of(one, "outcome") if "action_id" in r]
    assert min(waits) > 2
    begun = {r["turn"]: r["t"] for r in of(one, "turn")}
    assert min(r["t"] - begun[r["turn"]] for r in of(one, "action")) > 40


@recorded
@each_battle
def test_a_replay_tells_every_outcome_truly(battle: Path, tmp_path: Path) -> None:
    log = tmp_path / "b.jsonl"
    convert_file("showdown", battle, log)
    report = replay.report(log, Settings())
    assert report["outcomes"] > 50
    assert report["served"]["failed"] == report["served"]["superseded"] == 0
    assert (report["stale"], report["untrue"], report["faults"]) == (0, 0, 0)
    assert report["hit_rate"] > 0.7


# Choices, and what comes of them


def test_both_sides_choose_before_either_acts(tmp_path: Path) -> None:
    records = battle_of(
        tmp_path,
        "|move|p2a: Lanturn|Surf|p1a: Gumshoos\n|-damage|p1a: Gumshoos|221/321\n"
        "|move|p1a: Gumshoos|Crunch|p2a: Lanturn\n|-damage|p2a: Lanturn|250/300\n|\n|upkeep\n",
    )
    kinds = [r["kind"] for r in records]
    assert kinds == [
        *("session", "state", "patch", "turn", "action", "action"),
        *("outcome", "patch", "outcome", "patch", "turn_end", "end"),
    ]
    assert told(records) == [
        ("p2-lanturn", "Surf", [("p1-gumshoos", "hit")]),
        ("p1-gumshoos", "Crunch", [("p2-lanturn", "hit")]),
    ]
    assert values(records) == {"damage": 100, "target_hp": 221}
    for outcome, patch in zip(of(records, "outcome"), of(records, "patch")[1:], strict=True):
        assert patch["because"] == outcome["action_id"]
        assert patch["t"] > outcome["t"]
    assert {a["turn"] for a in of(records, "action")} == {"t1"}
    assert records[0]["started"] == "2026-11-21T04:05:21Z"


def test_a_move_is_aimed_at_whom_the_player_saw_and_again_at_who_came_in(tmp_path: Path) -> None:
    records = battle_of(
        tmp_path,
        "|switch|p2a: Tinkaton|Tinkaton, L82, F|274/274\n"
        "|move|p1a: Gumshoos|Crunch|p2a: Tinkaton\n|-damage|p2a: Tinkaton|200/274\n|upkeep\n",
    )
    aims = [
        (a["action_id"], a["action"]["target"])
        for a in of(records, "action")
        if a["action"]["name"] == "Crunch"
    ]
    assert [target for _, target in aims] == ["p2-lanturn", "p2-tinkaton"]
    assert len({action_id for action_id, _ in aims}) == 1
    entered = next(r for r in records if r["kind"] == "patch" and "because" in r)
    assert records.index(entered) + 1 == next(
        i
        for i, r in enumerate(records)
        if r.get("action", {}).get("target") == "p2-tinkaton" and r["action"]["name"] == "Crunch"
    )
    assert told(records)[0] == ("p2-lanturn", "Tinkaton", [("p2-tinkaton", "success")])


@pytest.mark.parametrize(
    ("lines", "result", "said"),
    [
        ("-crit|T\n|-damage|T|9/300", "critical", {"criticals": 1, "damage": 291, "target_hp": 9}),
        ("-miss|p1a: Gumshoos|T", "miss", {}),
        ("-miss|p1a: Gumshoos", "miss", {}),
        ("-immune|T", "immune", {}),
        ("-fail|T|par", "failure", {}),
        ("-fail|p1a: Gumshoos", "failure", {}),
        ("-activate|T|move: Protect", "blocked", {}),
        ("-block|T|ability: Sturdy", "blocked", {}),
        ("-activate|T|move: Substitute|[damage]", "hit", {"substitute": "hurt"}),
        ("-end|T|Substitute", "hit", {"substitute": "broken"}),
        ("-status|T|par", "hit", {"status": "par"}),
        ("-supereffective|T\n|-damage|T|0 fnt\n|faint|T", "hit", {"effect": "strong"}),
        (
            "-resisted|T\n|-damage|T|200/300\n|-crit|T\n|-damage|T|100/300\n|-hitcount|T|2",
            "critical",
            {"effect": "weak", "damage": 200, "target_hp": 100, "criticals": 1, "hits": 2},
        ),
        (
            "-damage|T|200/300\n|-miss|p1a: Gumshoos|T",
            "hit",
            {"damage": 100, "target_hp": 200},
        ),
        ("-unboost|T|atk|1", "hit", {}),
        ("-fail|T|unboost|[from] ability: Clear Body", "hit", {}),
    ],
)
def test_what_follows_a_move_is_its_result(
    tmp_path: Path, lines: str, result: str, said: Event
) -> None:
    lines = lines.replace("T", "p2a: Lanturn")
    records = battle_of(tmp_path, f"|move|p1a: Gumshoos|Crunch|p2a: Lanturn\n|{lines}\n|upkeep\n")
    assert told(records) == [("p1-gumshoos", "Crunch", [("p2-lanturn", result)])]
    assert values(records).items() >= said.items()


def test_damage_with_a_reason_of_its_own_is_not_the_moves(tmp_path: Path) -> None:
    records = battle_of(
        tmp_path,
        "|move|p1a: Gumshoos|Double-Edge|p2a: Lanturn\n"
        "|-damage|p2a: Lanturn|200/300\n"
        "|-damage|p2a: Lanturn|180/300|[from] psn\n"
        "|-damage|p1a: Gumshoos|300/321|[from] Recoil\n"
        "|-damage|p1a: Gumshoos|290/321|[from] item: Life Orb\n"
        "|\n|-heal|p2a: Lanturn|190/300|[from] item: Leftovers\n|upkeep\n",
    )
    assert values(records) == {"damage": 100, "target_hp": 200}
    changes = [
        (op["path"].split("/")[2], op["value"], "because" in p)
        for p in of(records, "patch")
        for op in p["patch"]
        if op["path"].endswith("/hp")
    ]
    assert changes == [
        ("p2-lanturn", 200, True),
        ("p2-lanturn", 180, False),
        ("p1-gumshoos", 300, True),
        ("p1-gumshoos", 290, False),
        ("p2-lanturn", 190, False),
    ]


def test_a_switch_that_was_not_of_ones_own_will_is_chosen_when_it_is_asked_for(
    tmp_path: Path,
) -> None:
    records = battle_of(
        tmp_path,
        "|move|p1a: Gumshoos|U-turn|p2a: Lanturn\n|-damage|p2a: Lanturn|0 fnt\n"
        "|faint|p2a: Lanturn\n|\n|t:|1\n"
        "|switch|p1a: Glaceon|Glaceon, L94, F|275/275|[from] U-turn\n|\n|upkeep\n"
        "|switch|p2a: Moltres|Moltres, L81|278/278\n",
    )
    u_turn, glaceon, moltres = of(records, "action")
    outcomes = of(records, "outcome")
    assert [o["action_id"] for o in outcomes] == [
        each["action_id"] for each in (u_turn, glaceon, moltres)
    ]
    assert outcomes[0]["t"] < glaceon["t"] < outcomes[1]["t"] < moltres["t"] < outcomes[2]["t"]
    assert glaceon["actor"] == "p1-gumshoos"
    assert moltres["actor"] == "p2-moltres"  # the one before has fallen


def test_two_who_must_be_replaced_are_chosen_together(tmp_path: Path) -> None:
    records = battle_of(
        tmp_path,
        "|move|p1a: Gumshoos|Explosion|p2a: Lanturn\n|-damage|p2a: Lanturn|0 fnt\n"
        "|faint|p1a: Gumshoos\n|faint|p2a: Lanturn\n|\n|upkeep\n"
        "|switch|p2a: Moltres|Moltres, L81|278/278\n|switch|p1a: Glaceon|Glaceon, L94, F|275/275\n",
    )
    assert [r["kind"] for r in records if r["kind"] in ("action", "outcome")] == [
        *("action", "outcome", "action", "action", "outcome", "outcome")
    ]


def test_what_was_not_chosen_is_not_declared(tmp_path: Path) -> None:
    records = battle_of(
        tmp_path,
        "|cant|p2a: Lanturn|par\n"
        "|move|p1a: Gumshoos|Sleep Talk|p1a: Gumshoos\n"
        "|move|p1a: Gumshoos|Crunch|p2a: Lanturn|[from] move: Sleep Talk\n|upkeep\n|turn|2\n"
        "|move|p2a: Lanturn|Encore|p1a: Gumshoos\n|-start|p1a: Gumshoos|Encore\n"
        "|move|p1a: Gumshoos|Crunch|p2a: Lanturn\n|upkeep\n|turn|3\n"
        "|cant|p1a: Gumshoos|flinch|Crunch\n",
    )
    assert [a["action"]["name"] for a in of(records, "action")] == [
        "Sleep Talk",
        "Encore",
        "Crunch",
    ]
    assert told(records) == [
        ("p2-lanturn", "par", [("", "prevented")]),
        ("p1-gumshoos", "Sleep Talk", [("p1-gumshoos", "success")]),
        ("p1-gumshoos", "Crunch", [("p2-lanturn", "hit")]),
        ("p2-lanturn", "Encore", [("p1-gumshoos", "hit")]),
        ("p1-gumshoos", "Crunch", [("p2-lanturn", "hit")]),
        ("p1-gumshoos", "Crunch", [("", "prevented")]),
    ]


def test_what_goes_on_by_itself_is_not_declared(tmp_path: Path) -> None:
    records = battle_of(tmp_path, "|move|p1a: Gumshoos|Outrage|p2a: Lanturn|[from] lockedmove\n")
    assert not of(records, "action")
    [outcome] = of(records, "outcome")
    assert outcome["turn"] == "t1"
    assert outcome["action"] == {"type": "attack", "name": "Outrage", "target": "p2-lanturn"}


@pytest.mark.parametrize("gone", ["faint|p2a: Lanturn", "drag|p2a: Tinkaton|Tinkaton|9/9"])
def test_who_comes_in_for_one_that_is_gone_was_not_chosen_before(tmp_path: Path, gone: str) -> None:
    records = battle_of(
        tmp_path,
        f"|move|p1a: Gumshoos|Roar|p2a: Lanturn\n|{gone}\n"
        "|switch|p2a: Moltres|Moltres, L81|278/278\n",
    )
    kinds = [r["kind"] for r in records if r["kind"] in ("action", "outcome")]
    assert kinds == ["action", "outcome", "action", "outcome"]


def test_when_one_chooses_says_nothing_of_whether_the_other_will_act(tmp_path: Path) -> None:
    times = []
    for then in ("move|p2a: Lanturn|Surf|p1a: Gumshoos", "cant|p2a: Lanturn|par"):
        records = battle_of(tmp_path, f"|move|p1a: Gumshoos|Crunch|p2a: Lanturn\n|{then}\n")
        own = [a["t"] for a in of(records, "action") if a["actor"] == "p1-gumshoos"]
        times.append((own, [o["t"] for o in of(records, "outcome")]))
    assert times[0] == times[1]


def test_a_move_that_was_copied_is_no_option_later(tmp_path: Path) -> None:
    records = battle_of(
        tmp_path,
        "|move|p1a: Gumshoos|Transform|p2a: Lanturn\n|-transform|p1a: Gumshoos|p2a: Lanturn\n"
        "|upkeep\n|turn|2\n|move|p1a: Gumshoos|Surf|p2a: Lanturn\n|upkeep\n|turn|3\n",
    )
    assert "Surf" not in [each["name"] for each in of(records, "turn")[-1].get("options", ())]


def test_one_that_cannot_move_keeps_what_ails_it(tmp_path: Path) -> None:
    records = battle_of(
        tmp_path,
        "|-status|p1a: Gumshoos|par\n|-mustrecharge|p1a: Gumshoos\n|cant|p1a: Gumshoos|par\n"
        "|upkeep\n|turn|2\n|cant|p1a: Gumshoos|recharge\n",
    )
    ends = [i for i, record in enumerate(records) if record["kind"] == "turn_end"]
    ails = [states(records)[i]["actors"]["p1-gumshoos"]["conditions"] for i in ends]
    assert ails == [["par", "recharge"], ["par"]]


def test_a_move_that_fails_is_aimed_as_it_was_before(tmp_path: Path) -> None:
    failed = "|move|p1a: Gumshoos|Protect||[still]\n|-fail|p1a: Gumshoos\n|upkeep\n"
    made = (
        "|move|p1a: Gumshoos|Protect|p1a: Gumshoos\n|-singleturn|p1a: Gumshoos|Protect\n|upkeep\n"
    )
    records = battle_of(tmp_path, f"{failed}|turn|2\n{made}|turn|3\n{failed}")
    assert [a["action"].get("target") for a in of(records, "action")] == [
        *(None, "p1-gumshoos", "p1-gumshoos")
    ]
    assert [r for _, _, [(_, r)] in told(records)] == ["failure", "success", "failure"]


def test_a_target_that_is_gone_is_a_failure(tmp_path: Path) -> None:
    records = battle_of(
        tmp_path,
        "|move|p2a: Lanturn|Surf|p1a: Gumshoos\n|-damage|p2a: Lanturn|0 fnt|[from] item: Life Orb\n"
        "|faint|p2a: Lanturn\n|move|p1a: Gumshoos|Crunch|p2: Lanturn|[notarget]\n|upkeep\n",
    )
    assert told(records)[1] == ("p1-gumshoos", "Crunch", [("p2-lanturn", "failure")])


def test_options_are_what_has_been_seen_so_far(tmp_path: Path) -> None:
    records = battle_of(
        tmp_path,
        "|move|p1a: Gumshoos|Crunch|p2a: Lanturn\n|upkeep\n|turn|2\n"
        "|switch|p1a: Glaceon|Glaceon, L94, F|275/275\n|upkeep\n|turn|3\n"
        "|switch|p1a: Gumshoos|Gumshoos, L95, F|321/321\n|upkeep\n|turn|4\n",
    )
    crunch = {"type": "attack", "name": "Crunch", "target": "p2-lanturn"}
    assert [t.get("options") for t in of(records, "turn")] == [
        None,
        [crunch],
        [{"type": "switch", "name": "Gumshoos", "target": "p1-gumshoos"}],
        [crunch, {"type": "switch", "name": "Glaceon", "target": "p1-glaceon"}],
    ]


def test_conditions_boosts_and_the_field_are_in_the_state(tmp_path: Path) -> None:
    records = battle_of(
        tmp_path,
        "|move|p2a: Lanturn|Toxic|p1a: Gumshoos\n|-status|p1a: Gumshoos|tox\n"
        "|move|p1a: Gumshoos|Swords Dance|p1a: Gumshoos\n|-boost|p1a: Gumshoos|atk|2\n"
        "|-start|p1a: Gumshoos|Substitute\n|-unboost|p1a: Gumshoos|spe|9\n"
        "|-sidestart|p2: Bob|move: Stealth Rock\n|-weather|RainDance\n"
        "|-fieldstart|move: Grassy Terrain\n|-ability|p2a: Lanturn|Volt Absorb\n"
        "|-item|p2a: Lanturn|Leftovers\n|-singleturn|p2a: Lanturn|Protect\n|\n|upkeep\n|turn|2\n"
        "|switch|p1a: Glaceon|Glaceon, L94, F|275/275\n|-curestatus|p1: Gumshoos|tox|[msg]\n"
        "|-enditem|p2a: Lanturn|Leftovers\n|-weather|none\n|-sideend|p2: Bob|Stealth Rock\n"
        "|-fieldend|move: Grassy Terrain\n|upkeep\n|win|Ann\n",
    )
    during = states(records)[records.index(of(records, "turn_end")[0])]
    gumshoos, lanturn = during["actors"]["p1-gumshoos"], during["actors"]["p2-lanturn"]
    assert gumshoos["conditions"] == ["tox", "Substitute"]
    assert gumshoos["boosts"] == {"atk": 2, "spe": -6}
    assert during["sides"]["p2"] == {"name": "Bob", "conditions": ["Stealth Rock"]}
    assert (during["weather"], during["field"]) == ("RainDance", {"conditions": ["Grassy Terrain"]})
    assert (lanturn["ability"], lanturn["item"], lanturn["stance"]) == (
        *("Volt Absorb", "Leftovers"),
        None,
    )
    after = states(records)[-1]
    gumshoos = after["actors"]["p1-gumshoos"]
    assert (gumshoos["conditions"], gumshoos["boosts"], gumshoos["active"]) == ([], {}, False)
    assert after["sides"]["p2"]["conditions"] == after["field"]["conditions"] == []
    assert (after["weather"], after["winner"]) == (None, "Ann")
    assert after["actors"]["p2-lanturn"]["item"] is None


def test_in_a_double_battle_each_has_its_place_and_a_spread_move_its_targets(
    tmp_path: Path,
) -> None:
    path = tmp_path / "double.log"
    path.write_text(
        OPENING.replace("|turn|1\n", "")
        + "|switch|p1b: Glaceon|Glaceon, L94, F|275/275\n|switch|p2b: Moltres|Moltres|278/278\n"
        "|turn|1\n"
        "|move|p1a: Gumshoos|Earthquake|p2a: Lanturn|[spread] p1b,p2a,p2b\n"
        "|-immune|p2b: Moltres\n|-crit|p1b: Glaceon\n|-damage|p1b: Glaceon|100/275\n"
        "|-damage|p2a: Lanturn|200/300\n"
        "|move|p2b: Moltres|Hurricane|p1b: Glaceon|[miss]\n|-miss|p2b: Moltres|p1b: Glaceon\n"
        "|upkeep\n"
    )
    assert told(showdown.convert(path)) == [
        (
            "p1-gumshoos",
            "Earthquake",
            [("p2-lanturn", "hit"), ("p1-glaceon", "critical"), ("p2-moltres", "immune")],
        ),
        ("p2-moltres", "Hurricane", [("p1-glaceon", "miss")]),
    ]


def test_what_only_the_owner_may_see_is_read_once(tmp_path: Path) -> None:
    records = battle_of(
        tmp_path,
        "|move|p1a: Gumshoos|Crunch|p2a: Lanturn\n|split|p2\n|-damage|p2a: Lanturn|150/300\n"
        "|-damage|p2a: Lanturn|50/100\n|upkeep\n",
    )
    assert values(records) == {"damage": 150, "target_hp": 150}


def test_windows_have_the_quantiles_that_were_measured() -> None:
    times = Times(seed=1)
    drawn = sorted(times.draw("result") for _ in range(10_000))
    assert drawn[1_000] == pytest.approx(2.8, abs=0.1)
    assert drawn[5_000] == pytest.approx(4.9, abs=0.15)
    assert drawn[9_000] == pytest.approx(10.8, abs=0.3)
    assert drawn[0] > 2 and drawn[-1] < 13


# Wrong files


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"Dear diary\n", "no |player| line"),
        (b"|a|b|\n|1|2|\n", "no |player| line"),
        (b'{"t":0.0,"kind":"session","format":1}\n', "is a session log already"),
        (b"|player|p1|Ann||\n|start\n", "holds no turn"),
        (b"|player|p1|Ann||\n|turn|1\n", "turn 1 begins with nobody on the field"),
        ((OPENING + "|turn|3\n").encode(), "line 9: turn 3 follows turn 1"),
        ((OPENING * 2).encode(), "line 16: turn 1 follows turn 1"),
        ((OPENING + "|turn|\n").encode(), "line 9: a turn has a number, not ''"),
        ((OPENING + "|move|p1a: Mew|Pound|p2a: Lanturn\n").encode(), "Mew is not on the field"),
        ((OPENING + "|move|p1a: Gumshoos|Pound|p2a: Mew\n").encode(), "Mew of p2 has not come in"),
        ((OPENING + "|move|Gumshoos|Pound\n").encode(), "line 9: this or what follows"),
        ((OPENING + "|-damage|p1a: Gumshoos|lots\n").encode(), "no hit points"),
        ((OPENING + "|-boost|p1a: Gumshoos|atk|much\n").encode(), "no stat and stages"),
        (b"\x89PNG\r\n\x1a\n\xff", "not UTF-8"),
    ],
)
def test_what_is_no_battle_is_refused_in_one_line(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "wrong.log"
    path.write_bytes(content)
    with pytest.raises(ForeignFormatError) as caught:
        convert_file("showdown", path, tmp_path / "n.jsonl")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["wrong.log"]


def damaged(text: str, chance: random.Random, how: str) -> str:
    """A battle as a bad copy would have it."""
    lines = text.splitlines()
    for _ in range(chance.randrange(1, 6)):
        one, two = chance.randrange(len(lines)), chance.randrange(len(lines))
        if how == "shuffled":
            lines[one], lines[two] = lines[two], lines[one]
        elif how == "cut":
            del lines[one : one + chance.randrange(1, 9)]
            lines = lines or [""]
        elif how == "doubled":
            lines.insert(two, lines[one])
        else:
            parts = lines[one].split("|")
            parts[chance.randrange(len(parts))] = chance.choice(
                ["", "p1a: X", "p3c: Y", "0 fnt", "-1/2", "9" * 12, "[from] x", "\u0663", "é|"]
            )
            lines[one] = "|".join(parts)
    return "\n".join(lines)


def refusal(battle: Path, log: Path) -> str:
    """Why a battle cannot be imported; empty if it was."""
    try:
        convert_file("showdown", battle, log)
    except ForeignFormatError as refused:
        return str(refused)
    return ""


SMALL = (
    OPENING
    + """\
|switch|p2a: Tinkaton|Tinkaton, L82, F|274/274
|move|p1a: Gumshoos|Crunch|p2a: Tinkaton
|-crit|p2a: Tinkaton
|-damage|p2a: Tinkaton|0 fnt
|faint|p2a: Tinkaton
|
|upkeep
|switch|p2a: Lanturn|Lanturn, L89, M|300/300
|turn|2
|move|p2a: Lanturn|Soak|p1a: Gumshoos|[miss]
|-miss|p2a: Lanturn|p1a: Gumshoos
|-start|p1a: Gumshoos|Encore
|-boost|p2a: Lanturn|spa|1
|-sidestart|p1: Ann|Spikes
|cant|p1a: Gumshoos|par
|drag|p1a: Glaceon|Glaceon, L94, F|275/275
|-mustrecharge|p1a: Glaceon
|
|upkeep
|turn|3
|move|p2a: Lanturn|Rest||[still]
|-fail|p2a: Lanturn
|-clearallboost
|win|Bob
"""
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
@given(seed=st.integers(0, 2**32), how=st.sampled_from(["shuffled", "cut", "doubled", "spoilt"]))
def test_a_damaged_battle_is_imported_or_refused_in_one_line(
    tmp_path: Path, seed: int, how: str
) -> None:
    battle, log = tmp_path / "battle.log", tmp_path / "b.jsonl"
    battle.write_text(damaged(SMALL, random.Random(seed), how), encoding="utf-8")
    log.unlink(missing_ok=True)
    if refused := refusal(battle, log):
        assert "\n" not in refused
        assert not log.exists()
    else:
        assert validate(log).errors == [], battle.read_text(encoding="utf-8")


@recorded
@pytest.mark.parametrize("how", ["shuffled", "cut", "doubled", "spoilt"])
def test_a_damaged_recording_is_imported_or_refused(tmp_path: Path, how: str) -> None:
    chance = random.Random(how)
    path, log = tmp_path / "battle.log", tmp_path / "b.jsonl"
    imported = 0
    for battle in BATTLES:
        text = battle.read_text(encoding="utf-8")
        for _ in range(6):
            path.write_text(damaged(text, chance, how), encoding="utf-8")
            refused = refusal(path, log)
            assert "\n" not in refused
            imported += not refused
    assert imported
