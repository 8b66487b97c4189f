"""What is prepared of what may come, and how much of it."""

from __future__ import annotations

from typing import Any

import pytest

from foretell.operators.classify import Context, Scene, classify
from foretell.operators.fingerprint import dependence
from foretell.operators.foresee import Candidate, Foresight
from foretell.operators.predict import Intensity, Variant, planner, variants
from foretell.streams import events as ev
from foretell.streams.world import Numbered, World, advance

AXE = {"type": "attack", "name": "axe"}


def actors(**change: Any) -> dict[str, Any]:
    return {
        "mira": {"side": "party", "hp": 18, "attacks": [{"name": "longsword"}, "dagger", {"x": 1}]},
        "tom": {"side": "party", "hp": 10},
        "grik": {"side": "foes", "hp": 7, "max_hp": 7},
        "snag": {"side": "foes", "hp": 7, "max_hp": 7},
        **change,
    }


def state(**change: Any) -> ev.State:
    return ev.State(1.0, {"mode": "combat", "actors": actors(**change)})


def play(*inputs: ev.Input) -> Scene:
    world = World()
    for event in inputs:
        world = advance(world, Numbered(world.number + 1, event, event.t))
    return classify(world)


def turn(actor: str = "mira", *options: dict[str, Any]) -> ev.Turn:
    return ev.Turn(1.0, f"turn-{actor}", actor, options)


def declare(action_id: str, target: Any, **rest: Any) -> ev.Action:
    return ev.Action(1.0, action_id, None, "mira", {**AXE, "target": target}, **rest)


def candidates(scene: Scene) -> list[Candidate]:
    """Of an actor of whom nothing is known but its sheet."""
    return Foresight().candidates(scene)


# ── variants ──────────────────────────────────────────────────────────────────────────────────────


def slots(found: list[Variant]) -> list[tuple[Any, str]]:
    return [(each.target, each.result) for each in found]


def test_a_declared_attack_has_its_hit_miss_and_critical() -> None:  # 0-3
    scene = play(state(), turn(), declare("a1", "grik"))
    found = variants(scene, candidates(scene)[0])
    assert slots(found) == [("grik", "hit"), ("grik", "miss"), ("grik", "critical")]
    assert not any(each.partial for each in found)
    assert [each.value for each in found] == [0.6, 0.35, 0.05]


def test_several_targets_have_their_own() -> None:
    spell = ev.Action(
        1.0,
        "a1",
        None,
        "mira",
        {"type": "cast", "save": "dex", "name": "fireball", "target": ["grik", "snag"]},
    )
    scene = play(state(), turn(), spell)
    found = variants(scene, candidates(scene)[0])
    assert set(slots(found)) == {(t, r) for t in ("grik", "snag") for r in ("failure", "success")}
    assert all(each.partial for each in found)


def test_a_variant_is_the_same_as_long_as_its_text_would_be() -> None:
    first = play(state(), turn(), declare("a1", "grik"))
    hurt = play(
        state(), turn(), declare("a1", "grik"), state(grik={"side": "foes", "hp": 6, "max_hp": 7})
    )
    moved = play(
        state(),
        turn(),
        declare("a1", "grik"),
        ev.State(2, {"actors": actors(), "location": "hall"}),
    )
    same, expected, other = (
        variants(scene, candidates(scene)[0]) for scene in (first, hurt, moved)
    )
    assert same == expected
    assert same != other


# ── the plan ──────────────────────────────────────────────────────────────────────────────────────


def planned(scene: Scene, level: Intensity, most: int = 8) -> list[tuple[str, Any, str]]:
    plan = planner(lambda: level, most, candidates)(scene)
    return [(each.declared.action["name"], each.target, each.result) for each in plan]


def test_off_prepares_nothing() -> None:  # 0-11
    assert planned(play(state(), turn(), declare("a1", "grik")), Intensity.OFF) == []


def test_conservative_prepares_the_most_likely_action_in_combat_only() -> None:  # 0-7, 0-11
    scene = play(state(), turn())
    assert {name for name, _, _ in planned(scene, Intensity.CONSERVATIVE)} == {"longsword"}
    calm = Scene(scene.world, Context.EXPLORATION)
    assert planned(calm, Intensity.CONSERVATIVE) == []


def test_aggressive_prepares_several_anywhere() -> None:  # 0-11
    scene = play(state(), turn())
    calm = Scene(scene.world, Context.EXPLORATION)
    assert {name for name, _, _ in planned(calm, Intensity.AGGRESSIVE)} == {"longsword", "dagger"}


def test_all_that_is_declared_is_prepared_even_at_conservative() -> None:
    scene = play(state(), turn(), declare("a1", "grik"), declare("a2", "snag"))
    assert {target for _, target, _ in planned(scene, Intensity.CONSERVATIVE)} == {"grik", "snag"}


def test_the_most_valuable_come_first_within_the_limit() -> None:  # G3
    scene = play(state(), turn(), declare("a1", "grik"), declare("a2", "snag"))
    plan = planned(scene, Intensity.CONSERVATIVE, most=3)
    assert plan == [("axe", "grik", "hit"), ("axe", "snag", "hit"), ("axe", "grik", "miss")]


def test_the_level_is_read_anew_for_each_scene() -> None:
    levels = iter([Intensity.OFF, Intensity.CONSERVATIVE])
    plan = planner(lambda: next(levels), 8, candidates)
    scene = play(state(), turn(), declare("a1", "grik"))
    assert (len(plan(scene)), len(plan(scene))) == (0, 3)


@pytest.mark.parametrize("odds", [{"hit": "high"}, ["hit"], {"grik": 3}])
def test_odds_that_are_none_still_give_a_plan(odds: Any) -> None:  # G10
    scene = play(state(), turn(), declare("a1", "grik", odds=odds))
    assert len(planned(scene, Intensity.CONSERVATIVE)) == 3


def test_what_is_hardly_likely_is_not_prepared() -> None:  # 0-11
    many = [{**AXE, "name": f"axe {n}"} for n in range(30)]
    scene = play(state(), turn("mira", *many))
    assert 0.01 > candidates(scene)[0].probability > 0
    for level in (Intensity.CONSERVATIVE, Intensity.AGGRESSIVE):
        assert planned(scene, level) == []
    assert planned(play(state(), turn("mira", *many), declare("a1", "grik")), level) != []
    some = play(state(), turn("mira", *many[:3]))
    assert 0.05 <= candidates(some)[0].probability < 0.1
    assert len(planned(some, Intensity.CONSERVATIVE)) == 3
    several = play(state(), turn("mira", *many[:8]))
    assert planned(several, Intensity.CONSERVATIVE) == []
    assert len({name for name, _, _ in planned(several, Intensity.AGGRESSIVE)}) == 2


@pytest.mark.parametrize("open_actions", [3, 60])
def test_what_has_no_place_in_the_plan_is_not_made(
    open_actions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    odds = [{"hit": 0.5 + number / 200, "miss": 0.4} for number in range(open_actions)]
    declared = [
        declare(f"a{number}", ("grik", "snag")[number % 2], odds=each)
        for number, each in enumerate(odds)
    ]
    scene = play(state(), turn(), *declared)
    every = [each for candidate in candidates(scene) for each in variants(scene, candidate)]
    asked: list[str] = []

    def counted(world: World, actor: str, *given: Any) -> Any:
        asked.append(actor)
        return dependence(world, actor, *given)

    monkeypatch.setattr("foretell.operators.predict.dependence", counted)
    plan = planner(lambda: Intensity.AGGRESSIVE, 8, candidates)(scene)
    assert [*plan] == sorted(every, key=lambda each: -each.value)[:8]
    assert [each.value for each in plan] == sorted((each.value for each in every), reverse=True)[:8]
    assert len(asked) <= 8
