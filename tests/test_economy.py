"""Which model writes what is prepared, and what a night may cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

import foretell
from foretell.cli import main
from foretell.operators.bets import Bets
from foretell.operators.economy import CREDIT, SPEND, Choice, Economy, Terms
from foretell.operators.foresee import Foresight
from foretell.operators.predict import Intensity
from foretell.pipeline import Pipeline
from foretell.replay import play as night
from foretell.replay.verify import verify
from foretell.resumed import Resumed
from foretell.sinks.audit import Audit
from foretell.sinks.ledger import Ledger, Price
from foretell.sinks.report import Tally
from foretell.sinks.stock import Stock
from foretell.sinks.transcript import Transcript
from foretell.streams import events as ev
from foretell.streams.clock import run_virtual
from foretell.streams.history import History
from foretell.streams.log import read
from foretell.streams.log_inputs import LogInputs
from foretell.streams.models import Message, ModelNotFound, Purpose, Request
from foretell.streams.narrator.profiles import PROFILES, profile_of
from foretell.streams.world import Numbered, World, advance
from foretell.testing import Script, ScriptedModel

MAIN, SMALL = "claude-sonnet-5-5", "claude-haiku-5-5"
TERMS = Terms(MAIN, SMALL, 0.25, 1.4)
DEMO = Path(foretell.__file__).parent / "examples" / "demo.jsonl"
STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 400, "max_hp": 400},
    },
}
ASKED = Request(MAIN, (Message("user", "x" * 2400),), purpose=Purpose.PREFETCH)
TELLING = (600 * 2 + 100 * 10) / 1e6
"""Dollars: 600 tokens of prompt, and an answer of a quarter of the 400 it may have."""


class Books(Ledger):
    """A ledger of so many tellings by the main model, and of so many dollars."""

    def __init__(self, tellings: float = 0.0, spent: float = 0.0) -> None:
        super().__init__()
        self.tellings, self.spent = tellings, spent

    @property
    def told_usd(self) -> float:
        return self.spent * TELLING

    def without(self, main: str) -> float:
        return self.tellings * TELLING


def wanted(value: float, scene: Any, declared: Any) -> Any:
    known = {"value": value, "likeliest": value, "source": "declared"}
    return SimpleNamespace(scene=scene, declared=declared, **known)


class Table:
    """A game, as an economy sees it."""

    def __init__(self, economy: Economy) -> None:
        self.economy, self.world, self.declared = economy, World(), 0
        self.put(ev.State(0.0, STATE))
        self.put(ev.Turn(0.0, "t1", "mira"))

    def put(self, event: ev.Input) -> None:
        before = self.world
        self.world = advance(before, Numbered(before.number + 1, event, event.t))
        self.economy.restore(event.t, "input")
        self.economy.on_world(before, self.world)

    def declare(self, t: float, kind: str = "attack") -> str:
        self.declared += 1
        name = f"a{self.declared}"
        self.put(ev.Action(t, name, None, "mira", {"type": kind, "name": kind, "target": "goblin"}))
        return name

    def done(self, t: float, name: str) -> None:
        self.put(ev.Outcome(t, (ev.Result("hit", "goblin"),), name))

    def choose(self, name: str, value: float = 0.6, terms: Terms = TERMS, live: Any = ()) -> Choice:
        scene = SimpleNamespace(world=self.world, context="combat")
        declared = self.world.actions[name]
        return self.economy.choose(wanted(value, scene, declared), ASKED, live, terms)


# ── by odds, by time ──────────────────────────────────────────────────────────────────────────────


def test_the_likely_is_the_main_models_and_the_unlikely_the_small_ones() -> None:
    table = Table(Economy(Books()))
    blow = table.declare(1.0)
    assert table.choose(blow, 0.25) is Choice.MAIN
    assert table.choose(blow, 0.24) is Choice.SMALL
    assert table.choose(blow, 0.24, TERMS._replace(main_from=0.2)) is Choice.MAIN


def test_what_comes_sooner_than_the_main_models_first_word_is_the_small_ones() -> None:
    table = Table(Economy(Books(99)))
    for t in range(5):
        table.done(10 * t + 0.5, table.declare(10 * t, "attack"))
        table.done(10 * t + 9.0, table.declare(10 * t + 1, "cast"))
    assert table.choose(table.declare(60.0, "attack")) is Choice.SMALL
    spell = table.declare(60.0, "cast")
    assert table.choose(spell) is Choice.MAIN
    table.put(ev.Say(67.5, "mira", "Wait."))
    assert table.choose(spell) is Choice.SMALL  # half a second is left of the usual eight


def test_of_a_kind_never_seen_the_others_tell_how_long_it_may_take() -> None:
    table = Table(Economy(Books(99)))
    assert table.choose(table.declare(0.0, "shove")) is Choice.MAIN  # nothing is known: by its odds
    for t in range(5):
        table.done(10 * t + 0.5, table.declare(10 * t, "attack"))
    assert table.choose(table.declare(60.0, "shove")) is Choice.SMALL


def test_how_long_the_main_model_takes_is_learned() -> None:
    table = Table(Economy(Books(99)))
    for t in range(5):
        table.done(10 * t + 0.5, table.declare(10 * t))
    assert table.choose(table.declare(50.0)) is Choice.SMALL
    for t in range(60, 68):
        line = {"generation": f"g{t}", "model": MAIN}
        table.economy.restore(t, "~timer", {"name": "settle"})
        table.economy.restore(t, "~generation", line)
        table.economy.restore(t, "~asked", line)
        table.economy.restore(t + 0.2, "~chunk", line)
    assert table.economy.first_word(MAIN) == 0.2
    assert table.choose(table.declare(70.0)) is Choice.MAIN


# ── by money ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("tellings", "spent", "choice"),
    [
        (0, 0, Choice.MAIN),
        (0, 1, Choice.SMALL),  # what is left is for the small model
        (0, 4.5, Choice.SMALL),
        (0, 4.6, Choice.NOTHING),
        (10, 14, Choice.MAIN),
        (10, 18.6, Choice.NOTHING),
    ],
)
def test_what_a_night_may_cost_goes_by_what_it_costs_unprepared(
    tellings: int, spent: float, choice: Choice
) -> None:
    table = Table(Economy(Books(tellings, spent)))
    assert table.choose(table.declare(1.0)) is choice


def test_what_is_under_way_is_as_good_as_spent() -> None:
    table = Table(Economy(Books(0, 0)))
    live = [SimpleNamespace(phase=phase, request=ASKED) for phase in ("running", "waiting", "done")]
    assert table.choose(table.declare(1.0), live=live[2:]) is Choice.MAIN
    assert table.choose(table.declare(1.0), live=live) is Choice.SMALL
    assert table.choose(table.declare(1.0), live=live[:1] * 5) is Choice.NOTHING


def test_without_a_bound_nothing_is_refused() -> None:
    table = Table(Economy(Books(0, 1e6)))
    assert table.choose(table.declare(1.0), terms=TERMS._replace(spend=None)) is Choice.MAIN
    assert table.choose(table.declare(1.0), 0.1, TERMS._replace(spend=None)) is Choice.SMALL


def test_the_main_model_writes_all_where_it_is_told_to_and_where_it_costs_nothing() -> None:  # 0-4
    table = Table(Economy(Books(0, 3)))
    every = TERMS._replace(main_from=0.0)
    assert table.choose(table.declare(1.0), 0.01, every) is Choice.MAIN
    assert table.choose(table.declare(1.0), 0.01, TERMS._replace(small="")) is Choice.MAIN
    table.economy._books.spent = 6.0  # type: ignore[attr-defined]
    assert table.choose(table.declare(1.0), 0.9, every) is Choice.NOTHING
    free = Table(Economy(Ledger({SMALL: Price(1, 1, 1, 1)})))
    assert free.choose(free.declare(1.0), 0.01) is Choice.MAIN


def test_a_small_model_that_the_server_does_not_have_is_not_asked_again() -> None:
    table = Table(Economy(Books()))
    line = {"generation": "g1", "model": SMALL, "error": "overloaded"}
    for error, choice in (("overloaded", Choice.SMALL), ("not_found", Choice.MAIN)):
        table.economy.restore(0.0, "~generation", line)
        table.economy.restore(0.0, "~error", {**line, "error": error})
        assert table.choose(table.declare(1.0), 0.1) is choice


# ── a session ─────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def opened(
    answers: Any = None, **settings: Any
) -> AsyncGenerator[tuple[foretell.Session[Any], ScriptedModel], None]:
    script = Script({"text": "The blade bites."}, ttft=1.0, delay=0.01)
    model = ScriptedModel(script if answers is None else answers)
    async with foretell.Game(settings, model=model) as game:
        session = await game.session("economy")
        session.update(STATE)
        yield session, model


async def test_each_variant_is_asked_of_the_model_that_was_chosen() -> None:
    async with opened() as (session, model):
        session.begin_turn("mira")
        action = session.declare("mira", "longsword", target="goblin")
        await action_is_prepared(model, 3)
        asked = {stream.request.model for stream in model.asked("prefetch")}
        assert asked == {MAIN, SMALL}
        await action.outcome("hit", damage=3)
        rows = [row for row in session.report()["ledger"] if row["fate"] == "told"]
        assert [(row["purpose"], row["streams"]) for row in rows] == [("prefetch", 1)]


async def test_the_summary_has_a_table_of_what_became_of_what() -> None:  # 0-21
    async with opened(cache_ttl=5.0) as (session, _):
        session.begin_turn("mira")
        action = session.declare("mira", "longsword", target="goblin")
        await asyncio.sleep(30)
        await action.outcome("hit", damage=3)
        session.end_turn()
        session.update({**STATE, "mode": "exploration"})
        await asyncio.sleep(60)
        report = session.report()
        fates = {row["fate"] for row in report["ledger"]}
        assert "told" in fates and "expired" in fates
        line, head, *rows = session.summary(table=True).splitlines()
        assert line == session.summary()
        assert head.split() == ["purpose", "model", "became", "streams", "tokens", "dollars"]
        assert len(rows) == len(report["ledger"])
        assert 0 < report["saved_usd"] < report["cost_usd"] * 100
        assert report["unpriced"] == []


async def action_is_prepared(model: ScriptedModel, streams: int) -> None:
    await asyncio.sleep(30)
    assert len(model.asked("prefetch")) == streams and not model.open


async def test_where_the_small_model_is_missing_the_main_one_prepares() -> None:
    def answers(request: Request, number: int) -> Script:
        if request.model == SMALL:
            return Script(error=ModelNotFound("no such model"))
        return Script({"text": "The blade bites."}, ttft=0.5)

    async with opened(answers, spend="none") as (session, model):
        for _ in range(4):
            session.begin_turn("mira")
            action = session.declare("mira", "longsword", target="goblin")
            await asyncio.sleep(10)
            await action.outcome("hit", damage=1)
        assert len([s for s in model.streams if s.request.model == SMALL]) <= 4
        assert session.report()["served"]["hit"] == 4


@pytest.mark.parametrize("spend", [0.0, 0.5, 1.0, 1.4])
async def test_a_night_costs_no_more_than_its_multiple_and_the_credit(spend: float) -> None:
    async with opened(spend=spend) as (session, _):
        ledger = session._pipeline.ledger
        for number in range(25):
            session.begin_turn("mira")
            action = session.declare("mira", f"blow {number}", target="goblin")
            await asyncio.sleep(5)
            await action.outcome("miss")
            price = max(row["usd"] / row["streams"] for row in session.report()["ledger"])
            unprepared = ledger.without(MAIN)
            most = max(unprepared, spend * (unprepared + CREDIT * 2 * price)) + price
            assert ledger.cost_usd <= most
        refused = spend == 0.0
        assert bool(session.report()["served"]["hit"]) is not refused


async def test_a_refusal_stands_in_the_recording(tmp_path: Path) -> None:
    async with opened(spend=0.0, log_dir=str(tmp_path)) as (session, model):
        session.begin_turn("mira")
        session.declare("mira", "longsword", target="goblin")
        await asyncio.sleep(5)
        assert not model.streams
    lines = [each.data for each in read(tmp_path / "economy.jsonl") if each.kind == "~refused"]
    assert [(each["slot"][3], each["why"]) for each in lines] == [
        ("hit", "spend"),
        ("miss", "spend"),
        ("critical", "spend"),
    ]


@pytest.mark.parametrize("spend", [None, 0.5, 1.0])
def test_a_recording_replays_exactly_and_goes_on_as_it_was(
    tmp_path: Path, spend: float | None
) -> None:  # G9
    settings = {"log_dir": str(tmp_path), "spend": "none" if spend is None else spend}
    left: list[Pipeline[Any]] = []

    async def sitting() -> None:
        async with opened(**settings) as (session, _):
            for number in range(6):
                session.begin_turn("mira")
                action = session.declare("mira", f"blow {number % 2}", target="goblin")
                await asyncio.sleep((0.3, 4.0)[number % 2])
                await action.outcome("hit", damage=number)
            left.append(session._pipeline)

    run_virtual(sitting())
    log = tmp_path / "economy.jsonl"
    again, was = resumed(log), left[0]
    assert again.economy._leads == was.economy._leads
    assert again.economy._firsts == was.economy._firsts
    assert again.ledger.rows() == was.ledger.rows()
    assert again.ledger.without(MAIN) == was.ledger.without(MAIN)
    run_virtual(sitting())
    found = verify(log)
    assert found.difference is None and found.lines > 100


def resumed(log: Path) -> Resumed:
    world, ledger = World(), Ledger()
    history = History(world, 1 << 20)
    stock = Stock(lambda clock: foretell.Game().variant_store("x", clock), world, 60.0)
    before = Resumed(
        history,
        world,
        Transcript(),
        Tally(),
        ledger,
        Audit(),
        stock,
        Foresight(),
        Economy(ledger),
    )
    before.read(read(log))
    return before


# ── what it is for ────────────────────────────────────────────────────────────────────────────────


def costs(log: Path, **settings: Any) -> tuple[float, float]:
    """Dollars, and the mean time to first text in seconds."""
    run = run_virtual(night(LogInputs(log), foretell.Settings(**settings)))
    return run.report["cost_usd"], run.report["latency_ms"]["mean"] / 1000


@pytest.mark.parametrize(("intensity", "most"), [("conservative", 1.5), ("aggressive", 4.0)])
def test_the_demo_keeps_to_its_price_and_is_as_quick(intensity: str, most: float) -> None:
    usd, slow = costs(DEMO, intensity="off")
    dearer, quick = costs(DEMO, intensity=intensity, main_from=0, spend="none")
    spent, waited = costs(DEMO, intensity=intensity)
    assert dearer > most * usd  # or there is nothing to keep down
    assert spent <= most * usd
    assert slow - waited >= 0.99 * (slow - quick)


def test_the_narrator_speaks_as_fast_as_the_model_it_stands_for() -> None:
    large, small, local = (PROFILES[n] for n in ("hosted-large", "hosted-small", "local-8b"))
    assert profile_of(MAIN, large) is large
    assert profile_of(SMALL, large) is small
    assert profile_of(f"{SMALL}-20260901", large) is small
    assert profile_of(SMALL, local) is local  # one machine, and one model on it
    assert profile_of("narrator-local-8b", large) is local


@pytest.mark.parametrize(
    ("given", "held"), [({}, "default"), ({"spend": None}, "none"), ({"spend": 2}, 2.0)]
)
def test_the_multiple_is_a_setting(given: Mapping[str, Any], held: Any) -> None:
    settings = foretell.Settings.load(given)
    assert settings.spend == held
    assert settings.main_from == 0.25


@pytest.mark.parametrize("wrong", [{"spend": -1}, {"spend": "much"}, {"main_from": 1.5}])
def test_what_is_no_multiple_and_no_probability_is_refused(wrong: Mapping[str, Any]) -> None:
    with pytest.raises(foretell.ConfigError, match=next(iter(wrong))):
        foretell.Settings.load(wrong)


def test_each_intensity_has_its_multiple() -> None:
    assert SPEND[Intensity.CONSERVATIVE] <= 1.5 < SPEND[Intensity.AGGRESSIVE] <= 4


# ── auto ──────────────────────────────────────────────────────────────────────────────────────────

AUTO = TERMS._replace(spend=None, per_second=0.002)
SCENE = {"context": "combat"}


def line(generation: str, value: float = 0.6, source: str = "declared") -> dict[str, Any]:
    named = {"generation": generation, "purpose": "prefetch", "model": SMALL}
    return {**named, "value": value, "source": source}


def bet(bets: Bets, generation: str, came: bool, value: float = 0.6) -> None:
    bets.heard["~scene"](0.0, SCENE)
    bets.heard["~generation"](0.0, line(generation, value))
    bets.heard["~served" if came else "~dropped"](0.0, {"generation": generation})


def test_it_prepares_what_is_worth_more_than_its_price() -> None:  # 0-11
    table = Table(Economy(Books()))
    blow = table.declare(1.0)
    worth = 0.6 * 2.0  # a second has to be worth the price of a telling, by its odds
    dear = AUTO._replace(per_second=1.01 * TELLING / worth)
    assert table.choose(blow, terms=dear) is Choice.MAIN
    assert table.choose(blow, terms=dear._replace(per_second=0.99 * TELLING / worth)) is (
        Choice.SMALL
    )
    small = TELLING / 20 / worth
    assert table.choose(blow, terms=dear._replace(per_second=1.01 * small)) is Choice.SMALL
    assert table.choose(blow, terms=dear._replace(per_second=0.99 * small)) is Choice.UNWORTHY
    assert table.choose(blow, 1.0, dear._replace(per_second=0.0)) is Choice.UNWORTHY


def test_what_comes_too_late_to_save_anything_is_worth_nothing() -> None:
    table = Table(Economy(Books()))
    for t in range(5):
        table.done(10 * t, table.declare(10 * t))  # declared and done at once
    assert table.choose(table.declare(60.0), terms=AUTO) is Choice.SMALL  # it saves 1.3 s of 2
    late = {"generation": "g1", "model": SMALL}
    for kind, t in (("~timer", 60.0), ("~generation", 60.0), ("~asked", 60.0), ("~chunk", 62.0)):
        table.economy.restore(t, kind, {**late, "name": "settle"})
    table.put(ev.Say(62.0, "mira", "Now!"))
    assert table.choose(table.declare(62.0), terms=AUTO) is Choice.UNWORTHY


def test_a_kind_that_only_wastes_comes_to_nothing_and_a_hit_brings_it_back() -> None:
    table = Table(Economy(Books()))
    bets = table.economy.bets
    blow = table.declare(1.0)
    for number in range(60):
        if table.choose(blow, terms=AUTO) is Choice.UNWORTHY:
            break
        bet(bets, f"g{number}", came=False)
    assert 5 <= number <= 40
    assert bets.rate("dialogue", "declared") == 1.0  # where nothing went wrong, nothing is learned
    slot = ["t1", table.world.actions[blow].key, "goblin", "hit"]
    refused = {"slot": slot, "value": 0.6, "source": "declared", "why": "worth"}
    bets.heard["~refused"](0.0, refused)
    table.done(2.0, blow)
    again = table.declare(3.0)
    assert table.choose(again, terms=AUTO) is Choice.SMALL
    bet(bets, "later", came=True)
    assert bets.report() == [
        {
            "context": "combat",
            "source": "declared",
            "made": number + 1,
            "expected": pytest.approx(0.6 * (number + 1)),
            "came": 1,
            "rate": pytest.approx(bets.rate("combat", "declared"), abs=1e-4),
        }
    ]


def test_hits_fade_as_waste_does() -> None:
    bets = Bets()
    for number in range(50):
        bet(bets, f"g{number}", came=True, value=0.5)
    high = bets.rate("combat", "declared")
    assert high == pytest.approx(2.0, abs=0.05)
    for number in range(20):
        bet(bets, f"h{number}", came=False, value=0.5)
    assert bets.rate("combat", "declared") < high / 3


@pytest.mark.parametrize("odds", [float("nan"), None, -3.0, 7.0])
def test_odds_that_are_none_do_no_harm(odds: Any) -> None:
    bets = Bets()
    bet(bets, "g1", came=False, value=odds)
    assert 0.5 < bets.rate("combat", "declared") <= 1.0


@pytest.mark.parametrize("per_second", [0.0, 1e9])
async def test_a_second_worth_nothing_prepares_nothing_and_one_worth_all_prepares_as_aggressive(
    per_second: float,
) -> None:
    asked = []
    for intensity in ("auto", "aggressive"):
        settings = {"intensity": intensity, "dollars_per_second": per_second, "spend": "none"}
        async with opened(**settings) as (session, model):
            for number in range(4):
                session.begin_turn("mira")
                action = session.declare("mira", f"blow {number}", target="goblin")
                await asyncio.sleep(10)
                await action.outcome("hit", damage=1)
            streams = model.asked("prefetch")
            asked.append([(s.request.model, s.prompt) for s in streams if "again" not in s.prompt])
    auto, aggressive = asked
    assert auto == ([] if per_second == 0 else aggressive)
    assert aggressive


async def test_it_can_be_set_while_it_runs_and_stands_in_the_recording(tmp_path: Path) -> None:
    async with opened(log_dir=str(tmp_path), intensity="off") as (session, model):
        session.begin_turn("mira")
        action = session.declare("mira", "longsword", target="goblin")
        await asyncio.sleep(5)
        assert not model.asked("prefetch")
        session.intensity = "auto"
        await asyncio.sleep(5)
        assert model.asked("prefetch")
        await action.outcome("hit", damage=1)
        made = session.report()["bets"]
        assert [(each["source"], each["came"]) for each in made] == [("declared", 1)]
    log = tmp_path / "economy.jsonl"
    assert "auto" in [each.data["intensity"] for each in read(log) if each.kind == "~intensity"]


def test_a_recording_at_auto_replays_exactly_and_knows_its_bets_again(tmp_path: Path) -> None:  # G9
    left: list[Pipeline[Any]] = []

    async def sitting() -> None:
        how = {"log_dir": str(tmp_path), "intensity": "auto", "dollars_per_second": 2e-4}
        async with opened(**how) as (session, _):
            for number in range(12):
                session.begin_turn("mira")
                action = session.declare("mira", f"blow {number % 2}", target="goblin")
                await asyncio.sleep(4.0)
                await action.outcome("shove" if number < 9 else "hit")
            left.append(session._pipeline)

    run_virtual(sitting())
    log = tmp_path / "economy.jsonl"
    assert resumed(log).economy.bets.report() == left[0].economy.bets.report()
    assert any(each.data.get("why") == "worth" for each in read(log))
    run_virtual(sitting())
    found = verify(log)
    assert found.difference is None and found.lines > 100


def test_a_dry_run_scores_what_policies_would_prepare_and_asks_nobody(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")  # where nobody answers
    assert main(["evaluate", str(DEMO), "--dry", "conservative,auto", "--json"]) == 0
    (found,) = orjson.loads(capsys.readouterr().out)["nights"]
    assert [each["policy"] for each in found["policies"]] == ["conservative", "auto"]
    for each in found["policies"]:
        assert each["prepared"] == sum(row["made"] for row in each["bets"]) > each["told"] > 4
        assert each["hit_rate"] > 0.8 and each["cost_usd"] > 0
    assert main(["evaluate", str(DEMO), "--dry", "auto"]) == 0
    assert "no model was asked" in capsys.readouterr().out
    assert main(["evaluate", str(DEMO), "--dry", "auto", "--ab", "document,ensemble"]) == 2
