"""The skirmish: plans and narrative together, in process and over HTTP."""

from __future__ import annotations

import argparse
import asyncio
import runpy
from pathlib import Path

import pytest

import foretell

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


async def test_a_skirmish_is_planned_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    module = runpy.run_path(str(EXAMPLES / "skirmish.py"))  # 3-51
    async with foretell.Game({"narrator_profile": "hosted-small"}, tools=module["tools"]()) as game:
        await module["play"](game, 30.0, 3)
    out = capsys.readouterr().out
    assert "(heuristic)" in out and "(simplified)" in out
    for agent in ("mira", "bran", "ash", "grik", "snag", "vex"):
        assert f"  {agent} " in out or f"  {agent:5} " in out
    rows = [line.split() for line in out.splitlines() if line.startswith(("plan ", "foreground "))]
    assert {row[0] for row in rows} == {"plan", "foreground"}
    assert "first step after 0.0 ms" in out


@pytest.mark.real_time
def test_a_skirmish_is_planned_over_http(capsys: pytest.CaptureFixture[str]) -> None:
    module = runpy.run_path(str(EXAMPLES / "skirmish.py"))  # 3-51
    args = argparse.Namespace(seconds=4.0, seed=3, profile="instant", base_url=None, model=None)
    asyncio.run(module["main"](args))
    assert "(simplified)" in capsys.readouterr().out
