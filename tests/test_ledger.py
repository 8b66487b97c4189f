"""Tokens and dollars: used, saved and wasted; and the second opinion on what was served."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace
from typing import Any

import pytest

from foretell.operators.fingerprint import Dependence
from foretell.operators.generation import Generation, Generations
from foretell.sinks.audit import Audit
from foretell.sinks.ledger import Ledger, Price, prices
from foretell.sinks.store import Store
from foretell.streams.models import Message, ModelCut, ModelUnavailable, Purpose, Request, Usage
from foretell.streams.tasks import Tasks
from foretell.testing import Script, ScriptedModel, instant

PRICES = {"m": Price(input=2.0, output=10.0, cache_read=0.1, cache_write=2.5)}
PROMPT = "x" * 400  # a hundred tokens by the rule of thumb


def ended(
    gid: str = "g1",
    *,
    text: str = "y" * 80,
    usage: Usage | None = None,
    purpose: Purpose = Purpose.PREFETCH,
    phase: str = "done",
    delivered: bool = False,
    opened_at: float | None = 0.0,
    model: str = "m",
    share: float = 1.0,
) -> Any:
    request = Request(model, (Message("user", PROMPT),), max_tokens=50, purpose=purpose)
    return SimpleNamespace(
        id=gid,
        request=request,
        usage=usage or Usage(),
        text=SimpleNamespace(items=[text[at : at + 7] for at in range(0, len(text), 7)]),
        phase=phase,
        delivered=delivered,
        opened_at=opened_at,
        reason=None,
        share=share,
    )


FINAL = Usage(100, 20, 300, 50, final=True)


def test_a_finished_one_is_counted_as_billed() -> None:  # 0-10, 0-19
    ledger = Ledger(PRICES)
    ledger.add(ended(usage=FINAL))
    assert ledger.tokens() == {
        "prefetch": 170,
        "refine": 0,
        "foreground": 0,
        "plan": 0,
        "saved": 0,
        "wasted": 170,
        "estimated": 0,
    }
    assert ledger.cost_usd == pytest.approx((100 * 2 + 20 * 10 + 300 * 0.1 + 50 * 2.5) / 1e6)


def test_what_is_served_is_saved_and_what_is_not_is_wasted() -> None:  # 0-20
    ledger = Ledger(PRICES)
    ledger.add(ended("g1", usage=FINAL))
    ledger.add(ended("g2", usage=FINAL, delivered=True))
    ledger.add(ended("g3", usage=FINAL, purpose=Purpose.FOREGROUND, delivered=True))
    tokens = ledger.tokens()
    assert (tokens["saved"], tokens["wasted"], tokens["foreground"]) == (170, 170, 170)
    ledger.served("g1")
    ledger.served("nobody")
    tokens = ledger.tokens()
    assert (tokens["saved"], tokens["wasted"]) == (340, 0)
    assert tokens["prefetch"] == tokens["saved"] + tokens["wasted"]


def test_of_one_that_is_told_in_part_the_rest_of_its_output_is_wasted() -> None:
    ledger = Ledger(PRICES)
    ledger.add(ended("g1", usage=FINAL, delivered=True, share=0.32))
    ledger.add(ended("g2", usage=FINAL, share=0.5))
    ledger.served("g2", 0.5)
    ledger.served("g2", 0.75)
    tokens = ledger.tokens()
    assert (tokens["saved"], tokens["wasted"]) == (2 * 150 + 6 + 15, 14 + 5)
    assert [(row["fate"], row["streams"], row["output"]) for row in ledger.rows()] == [
        ("never asked", 0, 19),
        ("told", 2, 21),
    ]
    assert ledger.cost_usd == pytest.approx(2 * (200 + 200 + 30 + 125) / 1e6)


def test_a_cancelled_one_counts_what_arrived_and_is_marked() -> None:
    """The API said 1 token: the true count comes only at the end of a stream."""
    ledger = Ledger(PRICES)
    ledger.add(ended(phase="closed", usage=Usage(100, 1), text="y" * 80))
    tokens = ledger.tokens()
    assert tokens["prefetch"] == tokens["estimated"] == 100 + 80 / 4
    assert ledger.cancelled == 1


def test_it_is_scaled_by_the_ratio_seen_on_finished_ones() -> None:
    ledger = Ledger(PRICES)
    ledger.add(ended("g1", usage=Usage(0, 40, final=True), text="y" * 80))  # two characters a token
    ledger.add(ended("g2", phase="closed", usage=Usage(0, 1), text="y" * 80))
    assert ledger.tokens() == {**ledger.tokens(), "prefetch": 80, "estimated": 40}


def test_an_answer_of_thoughts_alone_spoils_no_ratio() -> None:
    ledger = Ledger(PRICES)
    ledger.add(ended("g1", usage=Usage(0, 500, final=True), text="", phase="failed"))
    ledger.add(ended("g2", phase="closed", usage=Usage(0, 1), text="y" * 80))
    assert ledger.tokens()["estimated"] == 20


def test_a_server_that_reports_nothing_is_estimated() -> None:
    ledger = Ledger(PRICES)
    ledger.add(ended(usage=Usage()))
    assert ledger.tokens()["estimated"] == ledger.tokens()["prefetch"] == 100 + 20


def test_what_never_began_or_was_refused_costs_nothing() -> None:
    ledger = Ledger(PRICES)
    ledger.add(ended("g1", opened_at=None, phase="closed", text=""))
    ledger.add(ended("g2", phase="failed", text=""))
    assert set(ledger.tokens().values()) == {0}
    assert ledger.cost_usd == 0 and ledger.cancelled == 0
    ledger.add(ended("g3", phase="failed", text="", usage=Usage(100, 1)))
    assert ledger.tokens()["prefetch"] == 100


def test_a_model_without_a_price_costs_nothing_and_is_named() -> None:
    ledger = Ledger(PRICES)
    ledger.add(ended(usage=FINAL, model="home-made"))
    assert ledger.cost_usd == 0
    assert list(ledger.unpriced) == ["home-made"]


def test_a_dated_name_has_the_price_of_the_longest_name_it_begins_with() -> None:
    free = Price(0, 0, 0, 0)
    ledger = Ledger({"so": free, "sonnet": PRICES["m"], "sonnet-5": free})
    ledger.add(ended("g1", usage=FINAL, model="sonnet-4-20260101"))
    assert ledger.cost_usd == pytest.approx(555e-6)
    ledger.add(ended("g2", usage=FINAL, model="sonnet-5-20260101"))
    assert ledger.cost_usd == pytest.approx(555e-6)
    assert not ledger.unpriced


def test_the_price_list_that_is_shipped_has_the_models_of_the_settings() -> None:
    assert {"claude-sonnet-5-5", "claude-haiku-5-5"} <= set(prices())
    for name, price in prices().items():
        if name.startswith("claude-"):
            assert price.output > price.input > price.cache_read > 0


def test_a_prefetch_must_fit_under_the_cap_with_all_that_is_under_way() -> None:  # G3
    ledger = Ledger(PRICES)
    request = ended().request  # 100 tokens of prompt, 50 of answer at the most
    assert ledger.affords(request, 150, [])
    assert not ledger.affords(request, 149, [])
    live = [
        ended("g1", phase="running"),
        ended("g2", phase="waiting", opened_at=None),
        ended("g3", phase="running", purpose=Purpose.FOREGROUND),
        ended("g4", phase="closed", opened_at=None),
    ]
    assert ledger.affords(request, 450, live)
    assert not ledger.affords(request, 449, live)
    done = ended("g1", usage=FINAL)  # in the books now, and still held by somebody
    ledger.add(done)
    assert ledger.affords(request, 170 + 150, [done])
    assert not ledger.affords(request, 170 + 149, [done])


def test_what_is_wasted_is_told_by_its_reason() -> None:
    ledger = Ledger(PRICES)
    for name, phase in (("g1", "done"), ("g2", "done"), ("g3", "closed"), ("g4", "done")):
        ledger.add(ended(name, phase=phase, usage=FINAL))
    ledger.add(ended("g5", phase="failed", usage=FINAL))
    ledger.add(ended("g6", usage=FINAL, purpose=Purpose.FOREGROUND, delivered=True))
    ledger.add(ended("g7", usage=FINAL, purpose=Purpose.FOREGROUND))
    ledger.wasted("g2", "expired")
    ledger.wasted("g4", "superseded")  # the world has changed, and it was finished
    ledger.wasted("nobody", "expired")
    fates = {(row["purpose"], row["fate"]): row["streams"] for row in ledger.rows()}
    assert fates == {
        ("prefetch", "never asked"): 1,
        ("prefetch", "expired"): 1,
        ("prefetch", "superseded"): 2,
        ("prefetch", "failed"): 1,
        ("foreground", "told"): 1,
        ("foreground", "untold"): 1,
    }
    ledger.served("g1")
    rows = [row for row in ledger.rows() if row["purpose"] == "prefetch"]
    wasted = [row for row in rows if row["fate"] != "told"]
    used = [row["input"] + row["cache_write"] + row["output"] for row in wasted]
    assert sum(used) == ledger.tokens()["wasted"] == 4 * 170
    assert math.fsum(row["usd"] for row in ledger.rows()) == pytest.approx(ledger.cost_usd)


def test_what_was_saved_is_what_the_main_model_would_have_cost() -> None:  # 0-20
    cheap = Price(0.1, 0.5, 0.01, 0.125)
    ledger = Ledger({**PRICES, "small": cheap})
    ledger.add(ended("g1", usage=FINAL, model="small", delivered=True))
    ledger.add(ended("g2", usage=FINAL, model="small"))
    ledger.add(ended("g3", usage=FINAL, purpose=Purpose.FOREGROUND, delivered=True))
    assert ledger.saved_usd("m") == pytest.approx(555e-6)
    assert ledger.without("m") == pytest.approx(2 * 555e-6)
    assert ledger.cost_usd < 2 * 555e-6


def test_each_model_is_scaled_by_its_own_ratio() -> None:
    ledger = Ledger({**PRICES, "n": PRICES["m"]})
    ledger.add(ended("g1", usage=Usage(0, 40, final=True), text="y" * 80))
    ledger.add(ended("g2", usage=Usage(0, 10, final=True), text="y" * 80, model="n"))
    for number, (model, tokens) in enumerate((("m", 40), ("n", 10), ("another", 25))):
        before = ledger.tokens()["estimated"]
        ledger.add(ended(f"c{number}", phase="closed", usage=Usage(0, 1), model=model))
        assert ledger.tokens()["estimated"] - before == round(80 / {40: 2, 10: 8, 25: 3.2}[tokens])


class Billed:
    """Real generations, entered as they end."""

    def __init__(self, **script: Any) -> None:
        loop = asyncio.get_running_loop()
        self.ledger = Ledger(PRICES)
        self.tasks = Tasks(lambda where, error: None)
        self.model = ScriptedModel(Script(**{"answer": "y" * 80, **script}))
        self.all = Generations(
            self.model,
            self.tasks,
            lambda kind, **fields: None,
            loop.time,
            on_end=self.ledger.add,
            on_deliver=lambda generation: self.ledger.served(generation.id),
        )

    def open(self) -> Generation:
        return self.all.open(ended().request, (), revision=1)


async def test_generations_are_entered_as_they_end() -> None:
    billed = Billed()
    generation = billed.open()
    lease = generation.lease()
    await asyncio.sleep(10)
    assert billed.ledger.tokens()["wasted"] == 100 + 20
    generation.deliver()
    assert billed.ledger.tokens()["saved"] == 100 + 20
    assert billed.ledger.tokens()["estimated"] == 0
    lease.release()


async def test_one_closed_in_mid_stream_is_estimated_by_what_came() -> None:
    billed = Billed(ttft=1.0, delay=1.0, chunk=8)
    lease = billed.open().lease()
    await asyncio.sleep(3.5)  # three chunks
    lease.release()
    await instant()
    assert billed.ledger.tokens()["estimated"] == 100 + 24 / 4


async def test_one_closed_before_it_was_sent_is_free() -> None:
    billed = Billed()
    billed.open().lease().release()
    await instant()
    assert billed.model.streams == []
    assert billed.ledger.tokens()["prefetch"] == 0


@pytest.mark.parametrize(
    ("script", "tokens"),
    [
        ({"error": ModelUnavailable("down"), "usage": False}, 0),
        ({"error": ModelCut("cut"), "chunks": 2}, 100 + 4),
    ],
)
async def test_a_failed_one_costs_what_came_of_it(script: dict[str, Any], tokens: int) -> None:
    billed = Billed(**script)
    lease = billed.open().lease()
    await asyncio.sleep(10)
    assert billed.ledger.tokens()["prefetch"] == tokens
    lease.release()


# ── the audit ─────────────────────────────────────────────────────────────────────────────────────

GRIK = Dependence((("actors", "grik"),), (("actors", "grik", "hp"),), "own", ("pos",))


def audited(*changes: Any, revision: int = 1) -> int:
    audit = Audit()
    for number, change in enumerate(changes, 1):
        fresh = (change,) if change else ()
        audit.on_world(SimpleNamespace(revision=number, fresh=fresh, actors={}))
    audit.on_bind(SimpleNamespace(revision=revision, depends=(GRIK,)))
    return audit.stale


def test_a_text_served_after_an_unexpected_change_of_what_it_covers_is_stale() -> None:  # G1
    name = (("actors", "grik", "name"), None)
    assert audited(None, name) == 1
    assert audited(name) == 0  # it was written after the change
    assert audited(None, (("actors", "tom", "name"), None)) == 0
    assert audited(None, (("actors", "grik", "hp"), None)) == 0
    assert audited(None, (("actors", "grik", "name"), "own")) == 0
    assert audited(None, (("actors", "grik"), None)) == 1
    assert audited(None, ((), None)) == 1


@pytest.mark.parametrize(
    ("made_for", "result", "hp", "wrong"),
    [
        ("hit", "hit", 3, False),
        ("hit", "hit", None, False),
        ("hit", "miss", 3, True),
        ("hit", "hit", 0, True),
        ("kill", "hit", 0, False),
        ("kill", "hit", 3, True),
        ("kill", "kill", None, False),
        ("miss", "miss", 0, True),
    ],
)
def test_a_text_of_another_result_or_of_the_fallen_standing_is_untrue(
    made_for: str, result: str, hp: Any, wrong: bool
) -> None:  # G1
    audit = Audit()
    audit.on_serve(made_for, result, hp)
    assert audit.untrue == wrong


def test_a_text_of_the_standing_about_one_who_is_gone_is_untrue() -> None:  # G1
    audit = Audit()
    for number, actors in enumerate(({}, {"grik": {}}, {}), 1):
        fresh = ((("actors", "grik"), None),)
        audit.on_world(SimpleNamespace(revision=number, fresh=fresh, actors=actors))
        audit.on_serve("hit", "hit", None, "grik")
        audit.on_serve("kill", "hit", 0, "grik")
        audit.on_serve("hit", "hit", 3, "tom")
    assert audit.untrue == 2
    audit.on_world(SimpleNamespace(revision=4, fresh=(((), None),), actors={"grik": {}}))  # a load
    audit.on_serve("hit", "hit", None, "grik")
    assert audit.untrue == 2


@pytest.mark.parametrize(
    ("text", "untrue"),
    [("Grik takes {damage}.", 1), ("{Target_2}", 1), ("Grik takes 9.", 0), ("{ }, {}, {9}", 0)],
)
def test_a_text_with_a_slot_left_open_is_untrue(text: str, untrue: int) -> None:
    audit = Audit()
    audit.on_text(text)
    assert audit.untrue == untrue


# ── the store ─────────────────────────────────────────────────────────────────────────────────────


def variant(result: str = "hit", fingerprint: str = "f1") -> Any:
    slot = ("t1", "key", "grik", result)
    return SimpleNamespace(slot=slot, fingerprint=fingerprint, result=result, to=())


def test_a_variant_is_found_by_its_name_and_consumed() -> None:
    store = Store()
    store.put(variant("hit"), "the hit")
    store.put(variant("miss"), "the miss")
    found = store.take(variant("miss").slot)
    assert found is not None
    assert (found.generation, found.made_for, found.fingerprint) == ("the miss", "miss", "f1")
    assert store.take(variant("miss").slot) is None
    assert store.take(variant("kill").slot) is None
    assert len(store) == 1


def test_dropping_an_old_variant_leaves_the_newer_one_in_its_place() -> None:
    store = Store()
    store.put(variant(fingerprint="old"), "old")
    store.put(variant(fingerprint="new"), "new")
    store.discard(variant(fingerprint="old"), "old")
    assert len(store) == 1
    store.discard(variant(fingerprint="new"), "new")
    store.discard(variant(fingerprint="new"), "new")
    assert len(store) == 0


def test_accounts_of_long_ago_are_added_up_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def spent(kept: int) -> tuple[dict[str, int], float, int]:
        monkeypatch.setattr("foretell.sinks.ledger.KEPT", kept)
        ledger = Ledger()
        for number in range(40):
            purpose = ("prefetch", "foreground", "refine")[number % 3]
            line = {"kind": "~generation", "generation": f"g{number}", "purpose": purpose}
            model = ("claude-sonnet-5-5", "claude-haiku-4-5")[number % 2]
            ledger.restore({**line, "model": model, "prompt": 40 * number})
            ledger.restore({"kind": "~asked", "generation": f"g{number}"})
            counts = {"input": number, "output": 3 * number, "cache_read": 5, "cache_write": 7}
            account = {"kind": "~account", "generation": f"g{number}", "phase": "done"}
            ledger.restore({**account, **counts, "estimated": number % 5 == 0})
            if number % 4 == 0:
                ledger.served(f"g{number}")
        return ledger.tokens(), round(ledger.cost_usd, 9), len(ledger._accounts)

    *all_of_them, every = spent(1000)
    *few, kept = spent(3)
    assert few == all_of_them
    assert (every, kept) == (40, 3)
