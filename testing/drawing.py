"""A world drawn from a seed. What is drawn depends on the seed alone, never on how it is played."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from .history import History, Step
from .outings import draw_outing

__all__ = ["draw"]

PAUSES = (0.0, 0.0, 0.0, 0.06, 0.3, 1.0, 3.0, 8.0, 8.0, 30.0, 90.0, 200.0)
OVERLAPS = ("conflate", "interrupt", "queue")
CONTEXTS = ("combat", "exploration", "dialogue", "idle")
DEEDS = ("bow", "axe", "claw")
GUESTS = ("raises", "slow", "slow iterator", "reader", "late", "leaves")
NARRATORS = ("", "", "", "hosted-large", "hosted-small", "local-8b", "instant")
EFFECTS = (("dazed",), ("prone",), ("dazed", "prone"), ("unconscious",))
COMMON = {
    "exchange": 4, "begin": 1, "declare": 3, "outcome": 3, "disturb": 2, "calm": 1, "say": 1,
    "retract": 1, "aim_anew": 1, "end": 1, "guest": 1,
}  # fmt: skip
RARE = (
    "rewind", "rewind", "retell", "retell", "cancel", "turn_down", "profile", "storm", "storm",
    "models", "sleep", "delivered", *("astray",) * 3, "anew", "anew", *("cut",) * 14,
)  # fmt: skip
KILLED = ("kill", "reopen")
CACHES = ("well", "slow", "hangs", "hangs", "dead", "rubbish", "full")


def draw(seed: int) -> History:
    """The world of a seed: its settings, its players, its models, and all that befalls them."""
    rng = random.Random(seed)
    sessions = rng.choice((1, 1, 1, 1, 2, 3))
    fate = rng.choice((*("lasts",) * 14, "recorded", *("killed",) * 3))
    rare = RARE + (KILLED if fate == "killed" else ())
    steps = [Step(0.0, "models", trouble=rng.choice((0.0, 0.1, 0.5)))]
    if fate == "recorded":
        steps.append(Step(0.0, "record"))
    if rng.random() < 0.15:
        steps.append(Step(0.0, "cache", mood=rng.choice(CACHES)))
        rare += ("cache",) * 6
    players = [_Players(rng, number, rare) for number in range(sessions)]
    rounds = rng.randint(5, 60)
    killed = rng.randrange(rounds) if fate == "killed" else None
    for number in range(rounds):
        steps += rng.choice(players).step()
        if number == killed:
            steps += rng.choice(players).draw_end_of_process()
    settings: dict[str, Any] = {
        "intensity": rng.choice(("off", *("conservative", "aggressive") * 3)),
        "overlap": rng.choice(OVERLAPS),
        "deadline": rng.choice((3.0, 8.0, 20.0)),
        "max_speculations": rng.choice((1, 2, 4, 8)),
        "max_variants": rng.choice((3, 8)),
        "max_prefetch_tokens": rng.choice((None, None, None, 0, 4000)),
        "teardown_limit": rng.choice((0.1, 1.0)),
        "memory_tokens": rng.choice((0, 200)),
        "quiet": rng.choice((0.0, 0.05, 0.05, 0.2)),
    }
    if rng.random() < 0.2:
        settings["history_bytes"] = rng.choice((0, 20_000))
    drain = rng.choice((0.0, 1.0, 60.0))
    narrator = rng.choice(NARRATORS)
    if rng.random() < 0.15:  # after all else, so that the worlds of the seeds stay what they were
        settings["intensity"] = "auto"
    settings["spend"] = rng.choice(("default", "default", "none", 0.5))
    settings["main_from"] = rng.choice((0.25, 0.25, 0.0, 0.6))
    settings["budget"] = rng.choice(({}, {}, {}, {"session_tokens": 6000}, {"turn_usd": 0.004}))
    settings["dollars_per_second"] = rng.choice((0.002, 0.002, 0.0, 0.1))
    settings["variant_limit"] = rng.choice((30.0, 30.0, 2.0, 0.5))
    if rng.random() < 0.3:
        settings["intensity"] = rng.choice((*("aggressive",) * 4, "auto", "conservative"))
        if rng.random() < 0.7:
            settings |= {"max_prefetch_tokens": None, "budget": {}, "spend": "none"}
        for _ in range(rng.randint(1, 3)):
            steps += draw_outing(rng.choice(players), killed is not None)
    if rng.random() < 0.2:
        contexts = rng.sample(CONTEXTS, rng.randint(1, 3))
        settings["overlap"] = {each: rng.choice(OVERLAPS) for each in contexts}
    if rng.random() < 0.2:
        steps = [each for step in steps for each in _reported(rng, step)]
    settings["summary_tokens"] = rng.choice((0, 0, 40, 120))
    models = rng.randrange(2**32)
    guarded = rng.random() < 0.2
    if guarded:
        settings["guard_limit"] = rng.choice((2.0, 0.3))
    settings["refine"] = rng.choice((True, True, True, False))
    settings["select"] = rng.choice((True, True, True, False))
    settings["select_limit"] = rng.choice((1.0, 3.0))
    settings["refine_limit"] = rng.choice((3.0, 0.4))
    for step in steps:
        if step.do == "outcome" and rng.random() < 0.4:
            step.given["effects"] = rng.choice(EFFECTS)
    settings["language"] = rng.choice((*("",) * 8, "English", "German"))
    if rng.random() < 0.4:
        settings["variants"] = "trunk"
    return History(steps, settings, models, sessions, drain, narrator, guarded)


def _reported(rng: random.Random, step: Step) -> Sequence[Step]:
    """Some outcomes are reported twice."""
    if step.do != "outcome" or rng.random() < 0.6:
        return (step,)
    return step, Step(rng.choice((0.0, 0.0, 0.03, 0.08)), "twice", on=step.on)


class _Players:
    """Those at one table, and what they may do next."""

    def __init__(self, rng: random.Random, on: int, rare: Sequence[str]) -> None:
        self.rng = rng
        self.on = on
        self.actors = [f"a{n}" for n in range(5)]
        self.open: dict[str, tuple[str, str, list[str]]] = {}
        self.in_turn = False
        self.count = 0
        self.rare = rare

    def step(self) -> list[Step]:
        rng = self.rng
        pause = rng.choice(PAUSES) * rng.uniform(0.9, 1.1)
        if rng.random() < 0.12:
            do = rng.choice(self.rare)
        else:
            [do] = rng.choices(list(COMMON), list(COMMON.values()))
        draw_one: Callable[[], list[Step]] = getattr(self, f"draw_{do}")
        steps = draw_one()
        if steps:
            steps[0].wait = round(pause, 4)
        return steps

    def _step(self, do: str, **given: Any) -> list[Step]:
        return [Step(0.0, do, on=self.on, **given)]

    def _new(self) -> int:
        self.count += 1
        return self.count

    def draw_begin(self) -> list[Step]:
        self.open.clear()
        self.in_turn = True
        options = self.rng.sample(DEEDS, self.rng.randint(0, 3))
        return self._step("begin", actor=self.rng.choice(self.actors), options=options)

    def draw_exchange(self) -> list[Step]:
        """A turn as most are: it begins, something is declared, and then the dice land."""
        begun, declared = self.draw_begin(), self.draw_declare()
        if self.rng.random() < 0.3:
            actor, name, targets = self.open[list(self.open)[-1]]
            begun += self._say(actor, f"I go for {' and '.join(targets)} with my {name}!")
        steps = begun + declared
        steps[-1].wait = self.rng.choice((0.0, 0.5, 4.0))
        if self.rng.random() < 0.08:
            return steps + self.draw_blow(list(self.open)[-1])
        if self.rng.random() < 0.3:
            steps += self.draw_disturb()
        landed = self.draw_outcome(list(self.open)[-1])
        landed[0].wait = round(self.rng.choice((0.2, 2.0, 5.0, 12.0)) * self.rng.random(), 4)
        if self.rng.random() < 0.15:
            landed += self.draw_retell(1.0)
            landed[-1].wait = round(self.rng.choice((0.5, 4.0, 12.0)) * self.rng.random(), 4)
        elif "kill" in self.rare and self.rng.random() < 0.05:
            landed += self.draw_end_of_process()
        return steps + landed

    def draw_end(self) -> list[Step]:
        if not self.in_turn:
            return []
        self.open.clear()
        self.in_turn = False
        return self._step("end")

    def draw_declare(self, action: str | None = None, by: str | None = None) -> list[Step]:
        rng = self.rng
        targets = rng.sample(self.actors, rng.choice((0, 1, 1, 1, 1, 1, 1, 1, 2, 3)))
        action = action or f"action-{self._new()}"
        actor, name = by or rng.choice(self.actors), rng.choice(DEEDS)
        self.open[action] = actor, name, targets
        given: dict[str, Any] = {
            "odds": rng.choice((None, None, {"hit": 0.7, "miss": 0.3}, {"hit": 0.5, "odd": 0.5})),
            "rolled": rng.choice((None, None, None, "hit")),
        }
        given = {name: value for name, value in given.items() if value is not None}
        return self._step(
            "declare", action=action, actor=actor, name=name, targets=targets, **given
        )

    def draw_aim_anew(self) -> list[Step]:
        return self.draw_declare(self.rng.choice(list(self.open))) if self.open else []

    def draw_retract(self) -> list[Step]:
        if not self.open:
            return []
        action = self.rng.choice(list(self.open))
        del self.open[action]
        return self._step("retract", action=action)

    def draw_outcome(self, action: str | None = None, astray: str | None = None) -> list[Step]:
        rng = self.rng
        if action is None and self.open and rng.random() < 0.8:
            action = rng.choice(list(self.open))
        if action is not None:
            actor, name, targets = self.open.pop(action)
        else:
            actor, name = rng.choice(self.actors), rng.choice(DEEDS)
            targets = rng.sample(self.actors, rng.choice((1, 1, 2)))
        struck = list(targets)
        if astray is not None:
            struck = [astray]
        elif struck and rng.random() < 0.1:
            struck[0] = rng.choice(
                [each for each in self.actors if each not in struck] or struck[:1]
            )
        results: list[tuple[str | None, str, float | None]] = []
        hit: list[str | None] = [*struck] or [None]
        for target in hit:
            result = rng.choice(("hit", "hit", "miss", "critical", "odd"))
            harms = target is not None and result in ("hit", "critical")
            damage = rng.choice((3, 7, 14, 40)) + rng.randrange(2**17) / 2**17 if harms else None
            results.append((target, result, damage))
        return self._step(
            "outcome",
            action=action,
            actor=actor,
            name=name,
            targets=targets,
            results=results,
            how=rng.choice(("with", "before", "after", "said")),
            to=rng.choice(((), (), ("gm",), ("mira", "gm"))),
        )

    def draw_astray(self) -> list[Step]:
        """A blow befalls one it was not aimed at, who is about to do something, and it shows."""
        rng = self.rng
        struck = rng.choice(self.actors)
        steps = self.draw_begin() + self.draw_declare() + self.draw_declare(by=struck)
        [first, _] = self.open
        steps += self.draw_outcome(first, struck)
        steps += self._step("change", what={f"{struck}.hp": 30 + self._new()})
        for step in steps[2:]:
            step.wait = round(rng.choice((0.0, 0.1, 0.5)) * rng.random(), 4)
        return steps

    def draw_blow(self, action: str) -> list[Step]:
        """The state shows a blow before its outcome, and much may come between."""
        rng = self.rng
        actor, name, targets = self.open[action]
        if len(targets) != 1:
            return []
        del self.open[action]
        damage = rng.choice((3, 7, 14)) + rng.randrange(2**17) / 2**17
        steps = self._step("strike", action=action, target=targets[0], damage=damage)
        if rng.random() < 0.6:
            amount = rng.choice((damage, damage, 1.0))
            healed = self._step("heal", target=targets[0], amount=amount)
            steps = rng.choice((steps + healed, healed + steps))
        shown: dict[str, Any] = {"results": [(targets[0], "hit", damage)], "how": "shown", "to": ()}
        given = {"action": action, "actor": actor, "name": name, "targets": targets}
        steps += self._step("outcome", **given, **shown)
        for step in steps:
            step.wait = round(rng.choice((0.0, 0.5, 3.0)) * rng.random(), 4)
        return steps

    def draw_disturb(self) -> list[Step]:
        """A change nobody announced, of any kind."""
        rng, number = self.rng, self._new()
        who = rng.choice(self.actors)
        kind = rng.choice(("name", "ac", "hp", "hp", "ammo", "location", "gone", "back", "aba"))
        match kind:
            case "location":
                place = {"id": f"place-{number}", "name": f"Place {number}"}
                return self._step("change", what={"location": place})
            case "gone" if len(self.actors) > 3:
                self.actors.remove(who)
                return self._step("change", what={who: None})
            case "back":
                new = f"b{number}"
                self.actors.append(new)
                actor = {"name": new, "side": "foes", "hp": 30, "max_hp": 30, "ac": 10}
                return self._step("change", what={new: actor})
            case "aba":
                there = self._step("change", what={f"{who}.name": "Somebody Else"})
                return there + self._step("change", what={f"{who}.name": f"Actor {who}"})
            case "name":
                return self._step("change", what={f"{who}.name": f"{who} the {number}th"})
            case "hp":
                return self._step("change", what={f"{who}.hp": rng.choice((0, 5, 12, 30, 40))})
            case "ac" | "ammo":
                return self._step("change", what={f"{who}.{kind}": 100 + number})
        return []

    def draw_calm(self) -> list[Step]:
        """A change no text depends on, or one that names its reason."""
        rng, who = self.rng, self.rng.choice(self.actors)
        match rng.choice(("pos", "weather", "because")):
            case "pos":
                return self._step("change", what={f"{who}.pos": [self._new(), 0]})
            case "weather":
                return self._step("change", what={"weather": self._new()})
        if not self.open:
            return []
        what = {f"{who}.shield": self._new()}
        return self._step("change", what=what, because=rng.choice(list(self.open)))

    def draw_storm(self) -> list[Step]:
        """The state moves 60 times a second; now and then it means something."""
        rng = self.rng
        return self._step(
            "storm",
            ticks=rng.choice((10, 60, 150)),
            draws=rng.randrange(2**32),
            meaning=rng.choice((0.0, 0.02, 0.3)),
        )

    def draw_say(self) -> list[Step]:
        """Somebody speaks of what it may do, and may then do something else."""
        rng = self.rng
        deed = f"I go for {rng.choice(self.actors)} with my {rng.choice(DEEDS)}!"
        text = rng.choice((deed, deed, "I go for its eyes!", "Why not?", "\N{CRAB} \u202e…"))
        return self._say(rng.choice((*self.actors, "gm", "")), text)

    def _say(self, who: str, text: str) -> list[Step]:
        """It is said at once, or typed; what is typed may be taken back."""
        rng = self.rng
        if rng.random() < 0.5:
            return self._step("say", who=who, text=text)
        steps: list[Step] = []
        for _ in range(rng.randint(1, 3)):
            steps += self._step("say", who=who, text=text[: rng.randrange(40)], typing=True)
            steps[-1].wait = round(rng.choice((0.05, 1.0, 4.0)) * rng.random(), 4)
        if rng.random() < 0.3:
            return steps + self._step("say", who=who, text="", typing=True)
        return steps + self._step("say", who=who, text=text)

    def draw_rewind(self) -> list[Step]:
        rng = self.rng
        back = round(rng.choice((1.0, rng.random(), 1 - rng.random() ** 2)), 3)
        given: dict[str, Any] = {"share": back, "by": rng.choice(("time", "revision"))}
        if rng.random() < 0.15:
            given["again"] = round(rng.random(), 3)
        if rng.random() < 0.6:
            self.open.clear()
            self.in_turn = True
            given["actor"] = rng.choice(self.actors)
        steps = self._step("rewind", **given)
        if rng.random() < 0.3:
            steps += self._step("rewind", share=1.0, by="forth")
            steps[-1].wait = round(rng.choice((0.0, 1.0, 10.0)) * rng.random(), 4)
        return steps

    def draw_retell(self, share: float | None = None) -> list[Step]:
        rng = self.rng
        share = round(rng.choice((1.0, rng.random())), 3) if share is None else share
        return self._step("retell", share=share, by=rng.choice(("name", "telling")))

    def draw_anew(self) -> list[Step]:
        """The last thing is told again, which is taken back, and it is told once more."""
        steps = self.draw_retell(1.0)
        steps += self._step("rewind", share=1.0, by="last") + self.draw_retell(1.0)
        for longest, step in zip((12.0, 2.0), steps[1:], strict=True):
            step.wait = round(longest * self.rng.random(), 4)
        return steps

    def draw_cancel(self) -> list[Step]:
        return self._step("cancel")

    def draw_turn_down(self) -> list[Step]:
        return self._step("intensity", to=self.rng.choice(("off", "conservative", "aggressive")))

    def draw_profile(self) -> list[Step]:
        """Some of the settings change, those among them by which another text is written."""
        rng = self.rng
        of = {
            "language": ("", "German", "French"),
            "length": (None, 1, 5),
            "main_from": (0.0, 0.25, 1.0),
            "memory_tokens": (0, 300),
            "overlap": ("conflate", "interrupt", "queue"),
        }
        names = rng.sample(sorted(of), rng.randint(1, 2))
        return self._step("profile", changed={name: rng.choice(of[name]) for name in names})

    def draw_models(self) -> list[Step]:
        return self._step("models", trouble=self.rng.choice((0.0, 0.1, 0.5, 1.0)))

    def draw_cut(self) -> list[Step]:
        """One thing waits for another to be told, its stream is cut, and the world changes."""
        rng, trouble, action = self.rng, self.rng.choice((0.0, 0.1)), f"action-{self._new()}"
        actor, target, other = rng.sample(self.actors, 3)
        steps = self._step("models", trouble=trouble, cuts=0.9) + self.draw_begin()
        deed: dict[str, Any] = {"action": action, "actor": actor, "name": rng.choice(DEEDS)}
        steps += self._step("declare", **deed, targets=[target], rolled="hit")
        missed, hit = [(other, "miss", None)], [(target, "hit", 3.5)]
        first = {"action": None, "actor": other, "name": rng.choice(DEEDS), "targets": [other]}
        how: dict[str, Any] = {"how": rng.choice(("with", "said")), "to": ()}
        steps += self._step("outcome", **first, results=missed, **how)
        steps += self._step("outcome", **deed, targets=[target], results=hit, **how)
        changed = f"{rng.choice((actor, target))}.{rng.choice(('name', 'ac'))}"
        steps += self._step("change", what={changed: 200 + self._new()})
        steps += self._step("models", trouble=trouble)
        waits = ((0.0, 0.5), (0.1, 0.4), (0.5, 2.0), (0.0, 5.0))
        for (least, most), step in zip(waits, steps[3:], strict=True):
            step.wait = round(rng.uniform(least, most), 4)
        return steps

    def draw_guest(self) -> list[Step]:
        return self._step("guest", kind=self.rng.choice(GUESTS))

    def draw_delivered(self) -> list[Step]:
        viewer = self.rng.choice(("", "mira", "gm"))
        return self._step("delivered", viewer=viewer, share=round(self.rng.random(), 3))

    def draw_sleep(self) -> list[Step]:
        """The process stands still, as after the lid of a laptop was closed."""
        return self._step("sleep", seconds=self.rng.choice((1.0, 30.0, 3600.0, 40_000.0)))

    def draw_end_of_process(self) -> list[Step]:
        """In the midst of what is going on, or in good order."""
        steps = self.rng.choice((self.draw_kill, self.draw_kill, self.draw_reopen))()
        steps[0].wait = round(3 * self.rng.random(), 4)
        return steps

    def draw_kill(self) -> list[Step]:
        """Once, or again before much could be done."""
        rng, steps = self.rng, []
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            given = {"overlap": rng.choice(OVERLAPS)} if rng.random() < 0.3 else {}
            steps += self._step("kill", cut=round(rng.choice((1.0, rng.random())), 3), **given)
            steps[-1].wait = round(rng.choice((0.0, 0.3, 2.0)) * rng.random(), 4)
        return steps

    def draw_cache(self) -> list[Step]:
        return self._step("cache", mood=self.rng.choice(CACHES))

    def draw_reopen(self) -> list[Step]:
        return self._step("reopen", drain=self.rng.choice((0.0, 5.0, 60.0)))
