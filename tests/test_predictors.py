"""Predictors of usage: the document's formula, recency, Markov chains, and the ensemble of them."""

from __future__ import annotations

import hashlib
import json
import math
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.operators.calibration import Calibration
from foretell.operators.chains import Chains, Run
from foretell.operators.follows import Counts, Follows
from foretell.operators.halves import Halves
from foretell.operators.hours import HOUR_WEIGHTS, Hours, hour_weights
from foretell.operators.numbers import Numbers
from foretell.operators.predict_baselines import Frequent, LastUsed
from foretell.operators.predict_document import Document
from foretell.operators.predict_ensemble import Ensemble, reweighed, standard
from foretell.operators.predict_hour import Hourly
from foretell.operators.predict_markov import Markov
from foretell.operators.predict_recency import Recency
from foretell.operators.predictors import Event, Key, Learner, Scopes
from foretell.operators.seen import Seen
from foretell.operators.tally import Tally

T = datetime(2026, 2, 25, 2, tzinfo=UTC).timestamp()
LEARNERS: list[Any] = [Document, Hourly, Recency, Markov, LastUsed, Frequent]
KEYS = st.tuples(st.sampled_from("abcde"), st.sampled_from(["x", "y"]))
SCOPES = st.one_of(
    st.just(()),
    st.sampled_from([("g1", "g", "foes"), ("g2", "g", "foes"), ("mira", "mira", "party")]),
    st.sampled_from([("g", "foes"), ("foes",)]),  # a kind and a side that act by themselves
)
EVENTS = st.lists(
    st.builds(Event, st.floats(-1e13, 1e13), KEYS, SCOPES) | st.builds(Event, st.just(T), KEYS),
    max_size=60,
)


def of(word: str, scopes: Scopes = (), t: float = T) -> Event:
    return Event(t, (word,), scopes)


# --- the protocol, whoever keeps it


@given(events=EVENTS, make=st.sampled_from(LEARNERS), scopes=SCOPES)
def test_a_voice_gives_all_known_keys_together_one(
    events: list[Event], make: Any, scopes: Scopes
) -> None:
    learner: Learner = make()
    for event in events:
        learner.learn(*event)
    keys = list(dict.fromkeys(event.key for event in events))
    for voice in learner.weigh(T, keys, scopes) if keys else ():
        assert all(p >= 0 for p in voice)
        assert math.fsum(voice) == pytest.approx(1, abs=1e-4)


@given(events=EVENTS, make=st.sampled_from(LEARNERS))
def test_what_learning_says_of_a_key_is_what_weighing_said(events: list[Event], make: Any) -> None:
    learner: Learner = make()
    known: set[Key] = set()
    for event in events:
        if event.key in known:
            before = [p for (p,) in learner.weigh(event.t, [event.key], event.scopes)]
            assert learner.learn(*event) == pytest.approx(before)
        else:
            learner.learn(*event)
        known.add(event.key)


@given(events=EVENTS, more=EVENTS, scopes=SCOPES)
def test_what_is_saved_as_json_goes_on_as_if_nothing_had_been(
    events: list[Event], more: list[Event], scopes: Scopes
) -> None:
    first, again = (Ensemble([make() for make in LEARNERS]) for _ in range(2))
    for event in events:
        first.observe(event)
    again.restore(json.loads(json.dumps(first.to_json())))
    for event in more:
        found, wanted = (each.predict(event.t, 9, event.scopes) for each in (again, first))
        assert found == wanted
        first.observe(event)
        again.observe(event)
    assert first.novelty(scopes) == again.novelty(scopes)


@given(events=EVENTS, k=st.integers(1, 12), scopes=SCOPES)
def test_predictions_are_sorted_known_and_leave_room_for_what_is_new(
    events: list[Event], k: int, scopes: Scopes
) -> None:
    ensemble = standard()
    for event in events:
        ensemble.observe(event)
    found = ensemble.predict(T, k, scopes)
    known = {event.key for event in events}
    assert len(found) == min(k, len(known))
    assert {key for key, _ in found} <= known
    assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)
    total = math.fsum(ensemble.weigh(T, sorted(known), scopes)) + ensemble.novelty(scopes)
    assert total == pytest.approx(1, abs=1e-4)


def test_asked_before_anything_was_learned_nothing_is_predicted() -> None:
    ensemble = standard()
    assert ensemble.predict(T, 15) == [] == Document().predict(T, 15)
    assert ensemble.novelty() == 1
    assert ensemble.weigh(T, [("a",)]) == [0]
    assert ensemble.choose(T, [("a",), ("b",)]) == [(("a",), 0.5), (("b",), 0.5)]


@pytest.mark.parametrize("make", [standard, Document])
def test_of_no_keys_or_fewer_none_is_predicted(make: Any) -> None:
    predictor = make()
    for number, word in enumerate("abcab"):
        predictor.observe(Event(60.0 * number, (word,)))
    assert predictor.predict(300.0, 0) == predictor.predict(300.0, -1) == []


def test_what_other_learners_learned_is_not_taken() -> None:
    with pytest.raises(ValueError, match="saved of last"):
        standard().restore(Ensemble([LastUsed()]).to_json())
    saved = standard().to_json()
    wrong: list[Any] = [
        {}, None, [], *({**saved, name: None} for name in saved),
        *({**saved, "weights": [[4, row]]} for row in ([1.0], [math.nan, 0, 0, 1], [5, -4, 0, 0])),
        {**saved, "learners": [{}] * 3}, {**saved, "weights": [[math.inf, [1.0]]]},
        *({**saved, "novelty": {**saved["novelty"], "rates": rates}} for rates in (
            [], [[4, [0.5, 1.0]]], [[-1, [math.nan, 1.0]]], [[-1, [0.0, 0.0]]], [[-1, [2.0, 1.0]]],
        )),
    ]  # fmt: skip
    for each in wrong:
        with pytest.raises(ValueError, match=r"saved of|are no weights|are no rates"):
            standard().restore(each)


# --- the document's formula


def test_twenty_equally_frequent_keys_get_a_twentieth_each() -> None:
    document = Document()
    for number in range(20):
        document.observe(of(f"key-{number}"))
    found = document.predict(T, 20)
    assert [p for _, p in found] == pytest.approx([0.05] * 20)


@given(events=EVENTS)
def test_many_at_once_teach_the_formula_what_they_teach_one_by_one(events: list[Event]) -> None:
    one_by_one, at_once = Document(), Document()
    for event in events:
        one_by_one.observe(event)
    for some in (events[:7], events[7:]):
        at_once.observe_all([each.t for each in some], [each.key for each in some])
    assert at_once.last == one_by_one.last
    keys = list(dict.fromkeys(event.key for event in events))
    (found,), (wanted,) = (each.weigh(T, keys, ()) for each in (at_once, one_by_one))
    assert found == pytest.approx(wanted)


@pytest.mark.parametrize("make", [Document, standard])
def test_a_pool_may_be_as_large_as_there_are_keys(make: Any) -> None:
    predictor = make()
    for number in range(600):
        predictor.observe(of(f"k{number % 200}"))
    for k in (15, 100, 200, 1_000):
        assert len(predictor.predict(T, k)) == min(k, 200)


def test_the_hour_counts_by_its_weight_and_the_weekday_is_the_moments() -> None:
    nine = datetime(2026, 3, 2, 9, tzinfo=UTC).timestamp()  # a Monday, weight 1.5
    document = Document()
    for key, t in (("early", nine), ("late", nine + 12 * 3600), ("late", nine + 36 * 3600)):
        document.observe(of(key, t=t))
    scores = {key: score for (key,), score, _ in document.scored(nine + 7 * 86_400, 5)}
    assert scores["early"] == pytest.approx(0.3 / 3 + 0.4 * 1.5 * 1 + 0.2 / 2)
    assert scores["late"] == pytest.approx(0.3 * 2 / 3 + 0.2 / 2 + 0.1 * 0 + 0.1)


def test_what_followed_the_last_key_is_more_probable_after_it() -> None:
    document = Document()
    for word in "abacabac":
        document.observe(of(word))
    assert document.predict(T, 1)[0][0] == ("a",)
    document.observe(of("a"))
    chances = dict(document.predict(T, 3))
    assert chances["b",] == chances["c",] > 0


@pytest.mark.parametrize(
    "periods",
    [{"9": 1.0}, {"9-9": 1.0}, {"24-3": 1.0}, {"9-25": 1.0}, {"a-b": 1.0}, {"9-11": -1.0},
     {"9-11": math.nan}, {"9-11": math.inf}, {"9-11": 1e308}, {"9-11": "2"}],
)  # fmt: skip
def test_periods_that_are_none_are_refused(periods: Any) -> None:
    with pytest.raises(ValueError, match="is no"):
        hour_weights(periods)


def test_the_documents_weights_cover_the_day() -> None:
    weights = hour_weights(HOUR_WEIGHTS)
    by_weight = {weight: weights.count(weight) for weight in weights}
    assert by_weight == {0.3: 12, 1.5: 2, 1.2: 4, 1.3: 2, 0.8: 4}
    assert (weights[8], weights[9], weights[20], weights[21]) == (0.3, 1.5, 0.8, 0.3)
    assert hour_weights({"22-2": 2.0, "1-3": 5.0})[:4] == (2.0, 2.0, 5.0, 1.0)
    assert hour_weights({"0-24": 2.0}) == (2.0,) * 24
    assert hour_weights({"22-24": 2.0}) == hour_weights({"22-0": 2.0}) == (1.0,) * 22 + (2.0,) * 2


def test_hours_are_those_of_the_zone_daylight_saving_included() -> None:
    hours = Hours(ZoneInfo("Europe/Berlin"))
    spring = datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp()
    assert [hours(spring + s)[0] for s in (-1, 0)] == [1, 3]
    autumn = datetime(2026, 10, 25, 0, tzinfo=UTC).timestamp()
    assert [hours(autumn + s)[0] for s in (-1, 0, 3600, 7200)] == [1, 2, 2, 3]
    assert Hours(ZoneInfo("Asia/Kathmandu"))(T)[0] == 7  # + 5:45
    assert hours(datetime(2026, 3, 1, 23, 30, tzinfo=UTC).timestamp()) == (0, 0)  # Monday there


@given(t=st.floats(allow_nan=True, allow_infinity=True))
def test_a_clock_that_jumps_anywhere_still_has_an_hour(t: float) -> None:
    hour, day = Hours(ZoneInfo("America/St_Johns"))(t)
    assert 0 <= hour < 24 and 0 <= day < 7


# --- recency and Markov chains


def test_the_same_again_is_learned_of_all_and_holds_for_keys_of_any_name() -> None:
    ensemble = Ensemble([Recency()])
    for number in range(40):
        for _ in range(3):
            ensemble.observe(of(f"goblin-{number}", (f"actor-{number % 4}", "", "")))
    assert ensemble.predict(T, 1, ("actor-3", "", ""))[0][0] == ("goblin-39",)
    assert ensemble.predict(T, 1, ("actor-0", "", ""))[0][0] == ("goblin-36",)


def test_a_goblins_first_turn_is_told_by_what_other_goblins_did() -> None:
    markov = Ensemble([Markov()])
    for number in range(6):
        goblin, wolf = (f"goblin-{number}", "goblin", "foes"), (f"wolf-{number}", "wolf", "foes")
        for _ in range(3):
            markov.observe(of("scimitar", goblin))
            markov.observe(of("bite", wolf))
            markov.observe(of("bite", wolf))
    assert markov.predict(T, 1, ("goblin-99", "goblin", "foes"))[0][0] == ("scimitar",)
    assert markov.predict(T, 1, ("wolf-99", "wolf", "foes"))[0][0] == ("bite",)


def test_a_rhythm_of_three_is_known_to_the_chain_of_order_three_alone() -> None:
    song = "aabaabaabaab" * 12
    marks = {}
    for orders in ((0,), (0, 1), (0, 1, 3)):
        chain, marks[orders] = Ensemble([Markov(orders, (orders[-1],))]), Calibration()
        for word in song:
            marks[orders].add(chain.predict(T, 1), (word,), chain.probability(of(word)))
            chain.observe(of(word))
    assert marks[0, 1, 3].within(1) > 0.9 > marks[0, 1].within(1)
    assert marks[0, 1, 3].error() < 0.15


def test_usage_that_changes_is_followed() -> None:
    ensemble = standard()
    for _ in range(300):
        ensemble.observe(of("old"))
    for _ in range(12):
        ensemble.observe(of("new"))
    assert ensemble.predict(T, 1)[0][0] == ("new",)


# --- the ensemble


def test_the_ensemble_is_nearly_as_good_as_its_best_voice_whichever_that_is() -> None:
    rng = random.Random(5)
    words = [rng.choice("abcdefgh") for _ in range(1500)]  # nothing to learn but an eighth each
    sticky = ["a"]
    for _ in range(1500):
        sticky.append(sticky[-1] if rng.random() < 0.9 else rng.choice("abcdefgh"))
    for events in (words, sticky):
        losses = {}
        for name, learners in {
            "frequent": [Frequent()], "last": [LastUsed()], "recency": [Recency()],
            "all": [Frequent(), LastUsed(), Recency()],
        }.items():  # fmt: skip
            ensemble, marks = Ensemble(learners), Calibration()  # type: ignore[arg-type]
            for word in events:
                marks.add([], (word,), ensemble.probability(of(word)))
                ensemble.observe(of(word))
            losses[name] = math.fsum(marks.losses) / len(events)
        best = min(value for name, value in losses.items() if name != "all")
        assert losses["all"] < best + 0.02, losses


def test_a_voice_that_was_wrong_for_long_is_soon_heard_again_when_it_is_right() -> None:
    weights = [0.5, 0.5]
    for _ in range(1_000):
        weights = reweighed(weights, [0.9, 0.1])
    for _ in range(3):
        weights = reweighed(weights, [0.1, 0.9])
    assert weights[1] > 0.5 and math.fsum(weights) == pytest.approx(1)


def test_seven_times_in_ten_is_said_of_what_comes_seven_times_in_ten() -> None:
    rng, ensemble, marks = random.Random(1), standard(), Calibration()
    for _ in range(3000):
        word = "often" if rng.random() < 0.7 else "seldom"
        if ensemble.predict(T, 1):
            marks.add(ensemble.predict(T, 2), (word,), ensemble.probability(of(word)))
        ensemble.observe(of(word))
    likely = [row for row in marks.reliability() if row["mean"] > 0.5]
    many = sum(row["predictions"] for row in likely)
    for what in ("mean", "came"):
        share = math.fsum(row["predictions"] * row[what] for row in likely) / many
        assert share == pytest.approx(0.7, abs=0.03)
    assert marks.error() < 0.05


def one_an_hour(rng: random.Random) -> Iterator[Event]:
    t = T
    while True:
        t += rng.expovariate(1 / 300)
        hour = int(t // 3600) % 24 if rng.random() < 0.8 else rng.randrange(24)
        yield of(f"of {hour}", t=t)


def in_office_hours(rng: random.Random) -> Iterator[Event]:
    """Each hour of five working days has three favourites of 40 keys."""
    favourites = [rng.sample(range(40), 3) for _ in range(24)]
    t = T
    while True:
        t += rng.expovariate(1 / 180)
        hour = int(t // 3600) % 24
        if 9 <= hour < 17 and int(t // 86_400 + 3) % 7 < 5:
            often = rng.choices(favourites[hour], (6, 3, 1))[0]
            yield of(f"k{often if rng.random() < 0.85 else rng.randrange(40)}", t=t)
        else:
            t += 1800


@pytest.mark.parametrize("stream", [one_an_hour, in_office_hours])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_of_habits_of_the_hour_likely_is_likely_and_the_formula_is_not_better(
    stream: Callable[[random.Random], Iterator[Event]], seed: int
) -> None:
    ensemble, formula = standard(), Ensemble([Document()])
    marks, baseline = Calibration(), Calibration()
    for number, event in enumerate(islice(stream(random.Random(seed)), 2_500)):
        if number >= 700:
            marks.add(ensemble.predict(event.t, 5), event.key, ensemble.probability(event))
            baseline.add([], event.key, formula.probability(event))
        ensemble.observe(event)
        formula.observe(event)
    assert math.fsum(marks.losses) < math.fsum(baseline.losses) - 0.1 * len(marks.losses)
    likely = [row for row in marks.reliability() if row["mean"] > 0.2]
    many = sum(row["predictions"] for row in likely)
    told, came = (
        math.fsum(row["predictions"] * row[what] for row in likely) / many
        for what in ("mean", "came")
    )
    assert told == pytest.approx(came, abs=0.075)


def test_what_was_saved_before_there_was_a_voice_of_the_hour_is_refused_in_a_sentence() -> None:
    before = Ensemble([Document(), Recency(), Markov()])
    before.observe(of("a"))
    with pytest.raises(ValueError, match="saved of document, recency, popular, markov-1, markov-3"):
        standard().restore(json.loads(json.dumps(before.to_json())))


@pytest.mark.parametrize("make", [Recency, Markov, LastUsed, Frequent, Document, Hourly])
def test_after_a_long_routine_nothing_is_impossible_and_probabilities_still_are_some(
    make: Any,
) -> None:
    learner, keys = make(), [("a",), ("b",), ("c",), ("d",)]
    routine, newcomer = ("mira", "ranger", "party"), ("goblin", "goblin", "foes")
    for number in range(130_000 if make is Recency else 5_000):
        learner.learn(*Event(T, keys[number % 4], routine))
    for who in (routine, newcomer):
        for _ in range(6):
            for voice in learner.weigh(T, keys, who):
                assert all(0 <= p <= 1 for p in voice), voice
                assert math.fsum(voice) == pytest.approx(1)
            learner.learn(*Event(T, keys[0], who))
    if make is Recency:
        assert min(learner.weigh(T, keys, routine)[0]) > 1e-6


def test_after_a_long_routine_something_new_may_still_come() -> None:
    ensemble = Ensemble([Frequent()])
    for _ in range(80_000):
        ensemble.observe(of("rest"))
    assert ensemble.novelty() > 1e-6
    assert ensemble.choose(T, [("dance",), ("sing",)]) == [(("dance",), 0.5), (("sing",), 0.5)]


def test_of_options_one_comes_and_new_ones_share_what_is_left() -> None:
    ensemble = standard()
    for _ in range(30):
        ensemble.observe(of("sword", ("mira", "mira", "party")))
    found = ensemble.choose(T, [("bow",), ("sword",), ("axe",)], ("mira", "mira", "party"))
    assert [key for key, _ in found] == [("sword",), ("bow",), ("axe",)]
    assert math.fsum(p for _, p in found) == pytest.approx(1)
    assert found[0][1] > 0.8 and found[1][1] == found[2][1] > 0


def test_long_keys_and_keys_of_shell_and_database_are_keys_like_any() -> None:
    words = ["x" * 10_000, "'; DROP TABLE queries; --", "$(rm -rf /)", "\0\n\u202e", ""]
    ensemble = standard()
    for word in words * 3:
        ensemble.observe(of(word))
    again = standard()
    again.restore(json.loads(json.dumps(ensemble.to_json())))
    assert {key for key, _ in again.predict(T, 9)} == {(word,) for word in words}


def test_the_hour_of_a_moment_is_the_same_whoever_was_asked_about_before() -> None:
    just_before_midnight = -(2.0**-52)
    fresh, asked = Hours(), Hours()
    asked(-1.0)
    assert fresh(just_before_midnight) == asked(just_before_midnight) == (23, 2)


# --- what they are made of


@given(words=st.lists(st.sampled_from("abcdefghijklmnop"), min_size=1, max_size=200))
def test_a_tally_knows_its_greatest_and_the_shares(words: list[str]) -> None:
    tally = Tally(leaders=4)
    for word in words:
        tally.add((word,))
    counts = Counter(words)
    for k in (4, 99):
        found = [tally.weights[key] for key in tally.greatest(k)]
        assert found == sorted(counts.values(), reverse=True)[:k]
    assert tally.share((words[0],)) == pytest.approx(counts[words[0]] / len(words))


def test_in_a_tally_that_fades_an_event_counts_half_after_its_half_life() -> None:
    tally = Tally(half_life=10)
    tally.add(("old",))
    for _ in range(9):
        tally.add(("other",))
    tally.add(("new",))
    assert tally.weights["old",] / tally.weights["new",] == pytest.approx(0.5)
    for _ in range(5000):  # its weights are scaled down on the way
        tally.add(("new",))
    assert tally.greatest(1) == [("new",)]
    assert tally.total == pytest.approx(math.fsum(tally.weights.values()))


def test_what_is_remembered_has_bounds() -> None:
    limit = 100
    ensemble = Ensemble(
        [Document(limit=limit), Recency(limit), Markov(limit=limit), LastUsed(limit),
         Frequent(limit)],
        limit,
    )  # fmt: skip
    sizes = []
    for number in range(6000):
        scopes = (f"actor-{number % 900}", f"kind-{number % 70}", "side")
        ensemble.observe(Event(T + number * 60, (f"key-{number % 1500}",), scopes))
        if number % 3000 == 2999:
            sizes.append(len(json.dumps(ensemble.to_json())))
    assert sizes[1] < 1.1 * sizes[0]
    assert len(ensemble.predict(T, 15, ("actor-1", "kind-1", "side"))) == 15


def test_after_one_context_only_so_many_keys_are_remembered_the_frequent_ones() -> None:
    follows = Follows(width=8)
    for number in range(300):
        follows.add(("c",), (f"once-{number}",))
        follows.add(("c",), ("often",))
    counts = follows.after(("c",))
    assert len(counts.keys) <= 8 and counts.total == sum(counts.keys.values())
    assert counts.greatest(1) == [("often",)]


@pytest.mark.parametrize(
    "saved",
    [{"weights": [["a", 1.0]]}, {"weights": [[["a"], -1.0]]}, {"weights": [[["a", 3], 1.0]]},
     {"unit": math.nan}, {"unit": 0}, {"total": "2"}, {"leaders": [["a"]]}],
)  # fmt: skip
def test_what_no_tally_can_have_saved_is_refused(saved: Any) -> None:
    with pytest.raises(ValueError, match="is no"):
        Tally().restore({**Tally().to_json(), **saved})


def test_brier_and_log_loss_are_what_the_books_say() -> None:
    marks = Calibration()
    marks.add([(("a",), 0.7), (("b",), 0.2)], ("b",), 0.2)
    assert marks.losses == pytest.approx([-math.log(0.2)])
    assert marks.briers == pytest.approx([0.8**2 + 0.7**2])
    assert marks.ranks == [2]
    marks.add([(("a",), 0.7), (("b",), 0.2)], ("a",), 0.7)
    report = marks.report()
    assert (report["top1"], report["top3"], report["coverage"]) == (0.5, 1.0, 1.0)
    assert marks.error() == pytest.approx((0.6 + 0.4) / 4)
    assert Calibration().report() == {"events": 0}


@given(words=st.lists(st.sampled_from("abcdefghijklmnop"), max_size=60), limit=st.integers(2, 8))
def test_of_the_keys_seen_the_newest_are_known_and_no_more_than_fit(
    words: list[str], limit: int
) -> None:
    seen = Seen(limit)
    for number, word in enumerate(words):
        known = (word,) in seen
        assert seen.add((word,)) is known
        assert len(seen) <= limit // 2 * 2
        newest = list(dict.fromkeys(reversed(words[: number + 1])))[: limit // 2]
        assert all((each,) in seen for each in newest)
    again = Seen(limit)
    again.restore(json.loads(json.dumps(seen.to_json())))
    assert list(again) == list(seen) and len(set(seen)) == len(seen)


def test_contexts_not_met_for_long_are_forgotten_and_those_in_use_are_not() -> None:
    follows = Follows(limit=10)
    for number in range(100):
        follows.add((number,), ("x",))
        follows.add(("used",), ("y",))
        assert len(follows) <= 11
    assert follows.after(("used",)).keys["y",] == 100
    assert not follows.after((3,)).keys


@given(words=st.lists(st.sampled_from("abcdefghijklmnop"), max_size=60), limit=st.integers(2, 8))
def test_of_names_the_newest_are_known_and_what_is_found_stays_until_the_next_turn(
    words: list[str], limit: int
) -> None:
    halves: Halves[list[int]] = Halves(limit)
    kept: dict[str, list[int]] = {}
    for number, word in enumerate(words):
        turns, known = halves.turns, halves.get(word)
        found = halves.touch(word, [number])
        assert found is known or (known is None and found == [number])
        if halves.turns != turns:
            kept = {}
        kept[word] = found
        assert all(halves.get(each) is kept[each] for each in kept)
        newest = list(dict.fromkeys(reversed(words[: number + 1])))[: limit // 2]
        assert all(halves.get(each) for each in newest)
    again: Halves[list[int]] = Halves(limit)
    again.restore(json.loads(json.dumps(halves.to_json())))
    assert again.to_json() == halves.to_json()
    assert len([name for half in halves.to_json() for name, _ in half]) <= limit // 2 * 2


@pytest.mark.parametrize("make", [Recency, Markov])
def test_what_is_kept_of_actors_so_as_not_to_look_for_it_changes_nothing(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> list[Any]:
        rng, learner, found = random.Random(8), make(limit=24), []
        for number in range(1_500):
            actor, key = rng.randrange(40 if number % 300 > 150 else 6), rng.randrange(9)
            scopes = (f"m{actor}", f"k{actor % 5}", f"s{actor % 2}")[: 1 + number % 3]
            found += learner.learn(T, key, scopes)
            found += learner.weigh(T, [key], (f"m{key}", "k", "s"))
        return found

    kept = said()
    monkeypatch.setattr(sys.modules[make.__module__], "MOST_AROUND", 0)
    assert said() == kept


def test_what_a_context_keeps_of_its_sort_is_what_is_known_of_it() -> None:
    rng, learner = random.Random(4), Markov()
    for number in range(1_500):  # with so many keys that contexts are halved, too
        key = int((90 if number % 400 > 100 else 7) * rng.random() ** 2)
        scopes = (f"m{rng.randrange(3)}", "k", "s")
        if number % 25 == 0:
            again = Markov()  # which has nothing kept
            again.restore(json.loads(json.dumps(learner.to_json())))
            assert again.learn(T, key, scopes) == learner.learn(T, key, scopes)
        else:
            learner.learn(T, key, scopes)


def came(chains: Chains, run: Run, names: tuple[str, ...], key: Any) -> list[tuple[int, int, int]]:
    """What was known of each of whom had the run, before ``key`` came after it."""
    found = chains.reach(run, names, key)
    return [(0, 0, 0) if counts is None else counts.more(key) for counts in found]


def counted(counts: Any) -> dict[Any, int]:
    """Each key, and how often it came."""
    assert isinstance(counts, Counts)
    return counts.keys


def test_runs_not_met_for_long_are_forgotten_and_those_in_use_are_not() -> None:
    chains = Chains(limit=30)
    for number in range(100):
        came(chains, (number,), ("me", "us"), "x")
        came(chains, ("used",), ("me", "us"), "y")
    assert counted(chains.after(("used",))["us"]) == {"y": 100}
    assert len(json.dumps(chains.to_json())) < 1_500 and not chains.after((3,))


def test_who_had_a_run_alike_shares_its_counts_until_somebody_else_has_it() -> None:
    chains = Chains()
    assert came(chains, (1,), ("all", "me"), 7) == []
    assert came(chains, (1,), ("all", "me"), 7) == [(1, 1, 1)]
    assert came(chains, (1,), ("all", "me"), 8) == [(0, 2, 1)]
    assert came(chains, (1,), ("all", "you"), 8) == [(1, 3, 2), (0, 0, 0)]
    after = chains.after((1,))
    assert counted(after["all"]) == {7: 2, 8: 2} and counted(after["me"]) == {7: 2, 8: 1}
    assert after["you"] == 8
    again = Chains()
    again.restore(json.loads(json.dumps(chains.to_json())))
    assert came(again, (1,), ("all", "me"), 7) == [(2, 4, 2), (2, 3, 2)]


def test_of_a_run_that_a_crowd_had_those_that_had_it_most_are_remembered() -> None:
    chains = Chains(crowd=8)
    for number in range(200):
        came(chains, ("a",), ("all", f"actor-{number}"), "x")
    after = chains.after(("a",))
    assert len(after) <= 8 and counted(after["all"]) == {"x": 200}


def test_a_key_keeps_its_number_while_it_is_known_and_no_number_comes_twice() -> None:
    numbers = Numbers(4)
    assert [numbers.add((word,)) for word in "aab"] == [(0, False), (0, True), (1, False)]
    assert numbers.add(("c",)) == (2, False) and numbers.add(("a",)) == (0, True)
    assert (numbers.of(("a",)), numbers.key(0), len(numbers)) == (0, ("a",), 3)
    for word in "bde":
        numbers.add((word,))
    assert numbers.key(0) is None and numbers.of(("a",)) is None and len(numbers) == 3
    assert numbers.add(("a",)) == (5, False) and numbers.key(1) == ("b",)


def test_what_is_said_is_the_same_to_the_last_digit_on_every_python_compiled_or_not() -> None:
    rng, ensemble, said = random.Random(3), standard(), hashlib.sha256()
    for number in range(600):
        actor = rng.randrange(9)
        scopes = (f"m{actor}", f"k{actor % 3}", f"s{actor % 2}") if number % 7 else ()
        key = (f"a{int(40 * rng.random() ** 2)}", "x" * (actor % 2))
        event = Event(T + 700.0 * number, key, scopes)
        if number % 5 == 0:
            said.update(repr(ensemble.predict(event.t, 15, scopes)).encode())
        said.update(repr((ensemble.probability(event), ensemble.weights(scopes))).encode())
        ensemble.observe(event)
    assert said.hexdigest()[:16] == "fd4eb2b5a9fc8ff6"


def test_what_no_one_of_ones_circle_did_shares_what_their_lines_leave() -> None:
    recency = Recency()
    scopes = ("a", "kind a", "side a")
    for word in "uvwxyz":
        recency.learn(*of(word, ("other", "kind o", "side o")))
    for word in "pqpqppqp":
        recency.learn(*of(word, scopes))
    worth = dict(
        zip("pquvwxyz", recency.weigh(T, [(w,) for w in "pquvwxyz"], scopes)[0], strict=True)
    )
    assert worth["p"] > worth["z"] > worth["u"] > 0
    assert recency.learn(*of("z", scopes)) == [worth["z"]]


def test_where_all_that_is_known_stands_in_ones_own_line_it_is_one_of_these() -> None:
    recency, scopes = Recency(), ("a", "kind a", "side a")
    for word in "uvvuv":
        recency.learn(*of(word, scopes))
    worth = recency.weigh(T, [("u",), ("v",)], scopes)[0]
    assert math.fsum(worth) == pytest.approx(1)
    assert recency.learn(*of("u", scopes)) == worth[:1]


def test_several_new_options_share_the_chance_of_something_new() -> None:
    ensemble, mira = standard(), ("mira", "mira", "party")
    for _ in range(30):
        ensemble.observe(of("sword", mira))
    one, two = (
        1
        - dict(ensemble.choose(T, [("sword",), *(((f"new-{n}"),) for n in range(many))], mira))[
            "sword",
        ]
        for many in (1, 4)
    )
    assert two == pytest.approx(one)
