"""The store over real recorded play."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import foretell
from foretell.replay import load
from foretell.sinks.store_near import Near
from foretell.sinks.store_scenarios import each_moment
from foretell.sinks.variant_store import VariantStore
from foretell.streams.clock import run_virtual
from foretell.streams.importers import convert_file


@pytest.fixture(scope="module")
def drawn(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """A thousand moments of one night of Neverwinter Nights, in their order."""
    log = tmp_path_factory.mktemp("nwn") / "nwn.jsonl"
    convert_file("nwn", next(data.glob("nwn/*.log")), log, 0)
    moments = list(each_moment(load(log)[1]))
    return [moments[n] for n in sorted(random.Random(0).sample(range(len(moments)), 1000))]


async def as_a_game_has_it(drawn: list[Any]) -> float:
    async with foretell.Game() as game:
        return await hit_rate(drawn, game.store)


async def exactly(drawn: list[Any]) -> float:
    return await hit_rate(drawn, VariantStore(near=Near(0, bands=False)))


async def hit_rate(drawn: list[Any], store: VariantStore) -> float:
    for moment in drawn:
        assert await store.get_or_compute(moment, lambda each: [each["action"]["name"]]) == [
            moment["action"]["name"]
        ]
    return store.metrics().hit_rate()


def test_a_third_of_a_thousand_moments_need_no_call(drawn: list[Any]) -> None:  # 3-37
    near = run_virtual(as_a_game_has_it(drawn))
    exact = run_virtual(exactly(drawn))
    assert near >= 0.30 > exact > 0.1
