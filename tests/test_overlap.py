"""``overlap``: what becomes of an outcome that comes while another is being told."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st
from reactivex import abc
from reactivex.subject import Subject

from foretell.operators.overlap import Overlap, overlap
from foretell.streams.clock import run_virtual
from foretell.streams.tasks import Tasks

Emit = Callable[[str], None]
CONFLATE = Overlap.CONFLATE


class Bench:
    """Tellings take three seconds; each has a beginning, and exactly one end."""

    def __init__(
        self,
        policy: Overlap,
        *,
        most: int = 64,
        audience: bool = False,
        crosses: Callable[[str, str], bool] = lambda one, other: False,
        policies: Mapping[str, Overlap] | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.policy = policy
        self.seen: list[str] = []
        self.told: list[str] = []
        self.faults: list[str] = []
        self.wind_down = 0.0
        self.tasks = Tasks(lambda where, error: self.faults.append(f"{where}: {error}"))
        self.source: Subject[str] = Subject()
        stream = self.source.pipe(
            overlap(
                self.tell,
                self.skip,
                lambda item: policies[item[0]] if policies else self.policy,
                self.tasks,
                together=(lambda item: item[-1]) if audience else (lambda item: None),
                crosses=crosses,
                most=most,
            )
        )
        self.subscription: abc.DisposableBase = stream.subscribe(
            lambda event: self.seen.append(f"{self.loop.time():g} {event}"),
            lambda error: self.seen.append(repr(error)),
            lambda: self.seen.append(f"{self.loop.time():g} |"),
        )

    async def tell(self, group: Sequence[str], emit: Emit) -> None:
        name = "".join(group)
        self.told.append(name)
        emit(f"<{name}")
        if "!" in name:
            emit(f"{name}> broke")
            raise RuntimeError(name)
        try:
            await asyncio.sleep(3)
        except asyncio.CancelledError:
            await asyncio.sleep(self.wind_down)
            emit(f"{name}> cut")
            raise
        emit(f"{name}>")

    def skip(self, group: Sequence[str], emit: Emit) -> None:
        emit(f"{''.join(group)}> skipped")

    async def play(self, *items: tuple[float, str]) -> list[str]:
        for when, item in items:
            await asyncio.sleep(when - self.loop.time())
            if item == "|":
                self.source.on_completed()
            else:
                self.source.on_next(item)
        await asyncio.sleep(100)
        assert len(self.tasks) == 0
        return self.seen


async def test_conflate_tells_what_came_meanwhile_together() -> None:
    seen = await Bench(Overlap.CONFLATE).play((0, "a"), (1, "b"), (2, "c"), (10, "d"))
    assert seen == ["0 <a", "3 a>", "3 <bc", "6 bc>", "10 <d", "13 d>"]


async def test_queue_tells_each_by_itself_in_order() -> None:
    seen = await Bench(Overlap.QUEUE).play((0, "a"), (1, "b"), (2, "c"), (10, "d"))
    assert seen == ["0 <a", "3 a>", "3 <b", "6 b>", "6 <c", "9 c>", "10 <d", "13 d>"]


async def test_interrupt_lets_the_newest_end_the_one_before() -> None:
    seen = await Bench(Overlap.INTERRUPT).play((0, "a"), (1, "b"), (2, "c"))
    assert seen == ["0 <a", "1 a> cut", "1 <b", "2 b> cut", "2 <c", "5 c>"]


async def test_interrupted_before_it_began_it_gets_its_end_all_the_same() -> None:  # G2
    bench = Bench(Overlap.INTERRUPT)
    bench.source.on_next("a")
    bench.source.on_next("b")
    seen = await bench.play()
    assert seen == ["0 a> skipped", "0 <b", "3 b>"]


async def test_an_interrupted_telling_is_waited_for_and_only_the_newest_follows() -> None:  # G2
    bench = Bench(Overlap.INTERRUPT)
    bench.wind_down = 2
    seen = await bench.play((0, "a"), (1, "b"), (2, "c"), (2.5, "d"))
    assert seen == ["0 <a", "3 a> cut", "3 b> skipped", "3 c> skipped", "3 <d", "6 d>"]


async def test_only_items_of_one_audience_are_told_together() -> None:  # G7
    bench = Bench(Overlap.CONFLATE, audience=True)
    seen = await bench.play((0, "a1"), (1, "b1"), (1, "c2"), (1, "d1"))
    assert seen == ["0 <a1", "3 a1>", "3 <b1d1", "6 b1d1>", "6 <c2", "9 c2>"]


async def test_nobody_sees_what_came_later_before_what_came_earlier() -> None:  # G7
    """Each item names its viewers; the two for G stand on both sides of one for G and M."""
    bench = Bench(Overlap.CONFLATE, audience=True, crosses=lambda one, other: True)
    await bench.play((0, "aG"), (1, "bG"), (1.1, "cM"), (1.2, "dG"), (1.3, "eM"))
    assert bench.told == ["aG", "bG", "cM", "dG", "eM"]
    bench = Bench(Overlap.CONFLATE, audience=True, crosses=lambda one, other: False)
    await bench.play((100, "aG"), (101, "bG"), (101.1, "cM"), (101.2, "dG"), (101.3, "eM"))
    assert bench.told == ["aG", "bGdG", "cMeM"]


async def test_a_group_is_no_larger_than_the_most() -> None:  # G3
    bench = Bench(Overlap.CONFLATE, most=2)
    seen = await bench.play((0, "a"), (1, "b"), (1, "c"), (1, "d"))
    assert seen == ["0 <a", "3 a>", "3 <bc", "6 bc>", "6 <d", "9 d>"]


async def test_the_policy_is_read_anew_for_each_item() -> None:
    bench = Bench(Overlap.QUEUE)
    bench.source.on_next("a")
    await asyncio.sleep(1)
    bench.source.on_next("b")
    bench.policy = Overlap.INTERRUPT
    await asyncio.sleep(1)
    bench.source.on_next("c")
    seen = await bench.play()
    assert seen == ["0 <a", "2 a> cut", "2 b> skipped", "2 <c", "5 c>"]


async def test_each_item_has_the_policy_of_its_own() -> None:
    policies = {"q": Overlap.QUEUE, "i": Overlap.INTERRUPT, **dict.fromkeys("abc", CONFLATE)}
    bench = Bench(CONFLATE, policies=policies)
    await bench.play((0, "a"), (1, "b"), (1, "q"), (1, "c"), (20, "a"), (21, "q"), (21, "q"))
    assert bench.told == ["a", "bc", "q", "a", "q", "q"]


async def test_what_interrupts_ends_what_came_before_and_nothing_that_comes_after() -> None:
    policies = {"i": Overlap.INTERRUPT, **dict.fromkeys("abc", CONFLATE)}
    bench = Bench(CONFLATE, policies=policies)
    bench.wind_down = 1
    seen = await bench.play((0, "a"), (1, "b"), (2, "i"), (2.1, "c"))
    told = ["0 <a", "3 a> cut", "3 b> skipped", "3 <i", "6 i>", "6 <c", "9 c>"]
    assert seen == told


async def test_a_telling_that_raises_goes_to_the_owner_and_the_next_is_told() -> None:  # G10
    bench = Bench(Overlap.QUEUE)
    seen = await bench.play((0, "a!"), (0, "b"))
    assert seen == ["0 <a!", "0 a!> broke", "0 <b", "3 b>"]
    assert bench.faults == ["tell: a!"]


async def test_it_completes_after_the_last_telling() -> None:
    seen = await Bench(Overlap.QUEUE).play((0, "a"), (1, "b"), (2, "|"))
    assert seen == ["0 <a", "3 a>", "3 <b", "6 b>", "6 |"]


async def test_with_nothing_to_tell_it_completes_at_once() -> None:
    assert await Bench(Overlap.QUEUE).play((1, "|")) == ["1 |"]


async def test_disposal_cancels_what_is_told_and_forgets_what_waits() -> None:
    bench = Bench(Overlap.QUEUE)
    bench.source.on_next("a")
    bench.source.on_next("b")
    await asyncio.sleep(1)
    bench.subscription.dispose()
    assert await bench.play() == ["0 <a"]
    assert bench.told == ["a"]


@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.sampled_from(Overlap), st.sampled_from("12")), max_size=25
    ),
    st.integers(0, 3),
    st.integers(1, 4),
)
def test_each_item_has_exactly_one_end(
    arrivals: list[tuple[int, Overlap, str]], wind_down: int, most: int
) -> None:  # G2
    """Under any arrivals and policies: told or skipped, once, one group at a time."""

    async def main() -> None:
        bench = Bench(Overlap.CONFLATE, most=most, audience=True)
        bench.wind_down = wind_down
        for n, (pause, policy, audience) in enumerate(arrivals):
            await asyncio.sleep(pause * 0.5)
            bench.policy = policy
            bench.source.on_next(f"[{n}:{audience}")
        bench.source.on_completed()
        await asyncio.sleep(500)
        assert bench.seen[-1].endswith(" |")
        events = [line.split(" ", 1)[1] for line in bench.seen[:-1]]
        telling = ""
        ends: Counter[str] = Counter()
        for event in events:
            if event.startswith("<"):
                assert telling == ""
                telling = event[1:]
                continue
            group = event.split(">")[0]
            if not event.endswith("skipped"):
                assert group == telling
                telling = ""
            items = group.split("[")[1:]
            assert len(items) <= most and len({item[-1] for item in items}) == 1
            ends.update(items)
        wanted = [f"{n}:{audience}" for n, (_, _, audience) in enumerate(arrivals)]
        assert ends == Counter(wanted)
        assert len(bench.tasks) == 0

    run_virtual(main())
