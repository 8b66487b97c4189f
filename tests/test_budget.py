"""Hard caps: of a turn, a session, an owner, a process and an hour."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import foretell
from foretell.operators.budget_settings import Budgeting
from foretell.replay.verify import verify
from foretell.sinks.budget import Amount, Budget, Budgets, Spent
from foretell.sinks.ledger import Price
from foretell.streams.log import read
from foretell.testing import Script, ScriptedModel, run_virtual

STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 400, "max_hp": 400},
    },
}
FREELY = {"spend": "none", "main_from": 0.0}


def capped(
    scope: str, tokens: int, usd: float | None = None, window: float | None = None
) -> Budget:
    budget = Budget(scope, window)
    budget.cap(tokens, usd)
    return budget


# ── one budget ────────────────────────────────────────────────────────────────────────────────────


@given(
    st.integers(0, 2000),
    st.lists(
        st.tuples(st.integers(1, 600), st.floats(0, 1), st.booleans(), st.floats(0, 2000)),
        max_size=60,
    ),
    st.sampled_from([None, 3600.0]),
)
def test_what_is_spent_and_held_never_exceeds_the_cap(
    cap: int, asked: list[tuple[int, float, bool, float]], window: float | None
) -> None:  # G3
    budget = capped("hour", cap, cap / 100, window)
    now, under_way, past = 0.0, [], []
    for tokens, share, ends, later in asked:
        now += later
        want = Amount(tokens, tokens / 100)
        fits = sum(at for at, _ in under_way) + sum(
            cost for at, cost in past if window is None or at > now - window
        )
        refused = budget.refuses(want, now)
        assert refused == (fits + tokens > cap) or abs(fits + tokens - cap) < 1  # of floats
        if not refused:
            budget.reserve(want)
            under_way.append((tokens, share))
        if ends and under_way:
            held, part = under_way.pop(0)
            cost = int(held * part)
            budget.settle(Amount(held, held / 100), Amount(cost, cost / 100), now)
            past.append((now, cost))
        in_window = sum(cost for at, cost in past if window is None or at > now - window)
        assert budget.held.tokens == sum(at for at, _ in under_way)
        assert in_window <= budget.spent.tokens <= max(cap, 0)
        assert budget.spent.tokens + budget.held.tokens <= cap


def test_four_fifths_are_told_once_and_so_is_a_refusal() -> None:
    budget = capped("session", 100)
    told = []
    for _ in range(11):
        if budget.refuses(Amount(10), 0.0):
            told.append(budget.said(refused=True))
        else:
            budget.reserve(Amount(10))
            budget.settle(Amount(10), Amount(10), 0.0)
            told.append(budget.said())
    told.append(budget.said(refused=True))
    assert [each for each in told if each] == [Spent("session", 0.8), Spent("session", 1.0)]
    budget.begin()
    assert not budget.refuses(Amount(10), 0.0)
    budget.settle(Amount(), Amount(80), 0.0)
    assert budget.said() == Spent("session", 0.8)


def test_what_was_spent_an_hour_ago_counts_no_more() -> None:
    budget = capped("hour", 100, window=3600.0)
    budget.settle(Amount(), Amount(90), 0.0)
    budget.settle(Amount(), Amount(5), 1800.0)
    assert budget.refuses(Amount(6), 3599.0)
    assert not budget.refuses(Amount(95), 3600.0)
    assert budget.refuses(Amount(96), 3600.0)


def test_owners_have_one_budget_each_and_share_that_of_the_process() -> None:
    budgets = Budgets(Budgeting(owner_tokens=10, process_usd=1.0))
    assert [each.scope for each in budgets.of("ann")] == ["owner", "process", "hour"]
    assert [each.scope for each in budgets.of("")] == ["process", "hour"]
    assert budgets.of("ann")[0] is budgets.of("ann")[0] is not budgets.of("bob")[0]
    assert budgets.of("ann")[1] is budgets.of("bob")[1]
    assert not any(each.refuses(Amount(10**9), 0.0) for each in Budgets(Budgeting()).of("ann"))


def test_a_cap_that_changes_holds_at_once_and_forgets_nothing() -> None:
    budgets = Budgets(Budgeting())
    owner, process, hour = budgets.of("ann")
    for each in (owner, process, hour):
        each.settle(Amount(), Amount(90, 0.9), 0.0)
    budgets.apply(Budgeting(owner_tokens=100, process_tokens=95, hour_usd=1.0))
    assert [each.refuses(Amount(8, 0.05), 1.0) for each in (owner, process, hour)] == [0, 1, 0]
    assert owner.said() == Spent("owner", 0.8)
    budgets.apply(Budgeting(owner_tokens=97))
    assert [each.refuses(Amount(8, 0.05), 1.0) for each in (owner, process, hour)] == [1, 0, 0]
    assert owner.said() == Spent("owner", 0.8)  # it is news of another cap


# ── a session ─────────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def opened(
    budget: dict[str, Any], price_list: Any = None, **settings: Any
) -> AsyncGenerator[tuple[foretell.Game[Any], ScriptedModel], None]:
    model = ScriptedModel(Script({"text": "The blade bites. " * 10}, ttft=0.5, delay=0.01))
    given = {**FREELY, **settings, "budget": budget}
    async with foretell.Game(given, model=model, price_list=price_list) as game:
        yield game, model


async def fight(session: foretell.Session[Any], turns: int, name: str = "blow") -> list[str]:
    """What was told of each turn; of one that failed, the fallback."""
    session.update(STATE)
    told = []
    for number in range(turns):
        session.begin_turn("mira")
        action = session.declare("mira", f"{name} {number}", target="goblin")
        await asyncio.sleep(10)
        try:
            told.append((await action.outcome("miss")).text)
        except foretell.TellingError as error:
            told.append(error.fallback)
    return told


def used(session: foretell.Session[Any]) -> int:
    tokens = session.report()["tokens"]
    return int(tokens["prefetch"] + tokens["foreground"])


@pytest.mark.parametrize("scope", ["turn", "session", "owner", "process", "hour"])
async def test_each_scope_binds_what_is_prepared_and_never_what_is_told(scope: str) -> None:
    async with opened({f"{scope}_tokens": 3000}) as (game, model):
        session = await game.session("a", owner="ann")
        heard: list[Spent] = []
        session.alerts.subscribe(heard.append)
        told = await fight(session, 12)
        assert all(told) and session.report()["served"]["failed"] == 0
        prepared = sum(row["streams"] for row in session.report()["ledger"]
                       if row["purpose"] == "prefetch")  # fmt: skip
        assert prepared == len(model.asked("prefetch")) > 0
        if scope == "turn":  # and then it begins anew
            assert session.report()["served"]["hit"] > 6
        else:
            assert session.report()["served"]["miss"] >= 6
            assert heard[-1] == Spent(scope, 1.0)
            assert len(heard) == len(set(heard)) <= 2


@pytest.mark.parametrize("scope", ["session", "process"])
async def test_a_budget_of_zero_prepares_nothing_and_tells_all_the_same(scope: str) -> None:
    for kind in ("tokens", "usd"):
        async with opened({f"{scope}_{kind}": 0}) as (game, model):
            session = await game.session("a")
            assert all(await fight(session, 2))
            assert not model.asked("prefetch")
            assert session.report()["served"]["miss"] == 2


async def test_with_the_foreground_under_it_what_is_refused_is_told_by_the_fallback() -> None:
    async with opened({"session_tokens": 0, "foreground": True}) as (game, model):
        session = await game.session("a")
        told = await fight(session, 2)
        assert not model.streams
        assert all(told)  # G2
        assert session.report()["errors"] == {"budget": 2}
        assert session.report()["served"]["failed"] == 2


async def test_sessions_of_one_owner_share_what_is_his() -> None:
    async with opened({"owner_tokens": 6000}) as (game, model):
        first, second, other = [
            await game.session(name, owner=owner)
            for name, owner in (("a", "ann"), ("b", "ann"), ("c", "bob"))
        ]
        await fight(first, 8)
        before = len(model.asked("prefetch"))
        await fight(second, 2)
        assert len(model.asked("prefetch")) == before
        await fight(other, 2)
        assert len(model.asked("prefetch")) > before


async def test_a_model_without_a_price_counts_as_the_dearest_and_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dear = {"cheap": Price(1, 1, 1, 1), "dear": Price(1000, 1000, 100, 1000)}
    with caplog.at_level(logging.WARNING, "foretell"):
        async with opened({"session_usd": 2.0}, dear, main_model="home-made") as (game, model):
            session = await game.session("a")
            await fight(session, 4)
            assert 0 < len(model.asked("prefetch")) <= 4
            assert session.report()["unpriced"] == ["home-made"]
            assert session.report()["cost_usd"] == 0
    told = [each.getMessage() for each in caplog.records if "home-made" in each.getMessage()]
    assert len(told) == 1


@pytest.mark.parametrize("scope", ["turn", "session", "owner", "process", "hour"])
@pytest.mark.parametrize("foreground", [False, True])
def test_what_others_spend_is_in_the_recording_and_replays_exactly(
    tmp_path: Path, scope: str, foreground: bool
) -> None:  # G9
    budget = {f"{scope}_tokens": 6000, "foreground": foreground}

    async def night() -> None:
        async with opened(budget, log_dir=str(tmp_path)) as (game, _):
            sessions = [await game.session(name, owner="ann") for name in "ab"]
            await asyncio.gather(*(fight(each, 8) for each in sessions))

    run_virtual(night())
    run_virtual(night())  # and goes on, with budgets of the game that begin anew
    for name in "ab":
        log = tmp_path / f"{name}.jsonl"
        whys = {each.data.get("why") for each in read(log) if each.kind == "~refused"}
        assert scope in whys or scope == "turn"
        assert verify(log).difference is None


def test_a_budget_is_a_setting(tmp_path: Path) -> None:
    path = tmp_path / "campaign.toml"
    path.write_text("[budget]\nhour_usd = 0.5\nforeground = true\n")
    held = foretell.Settings.load(path).budget
    assert (held.hour_usd, held.foreground, held.turn_tokens) == (0.5, True, None)
    for wrong in ("-1", "true", "nan"):
        path.write_text(f"[budget]\nhour_usd = {wrong}\n")
        with pytest.raises(foretell.ConfigError, match=r"budget\.hour_usd"):
            foretell.Settings.load(path)
