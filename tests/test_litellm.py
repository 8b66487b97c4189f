"""A server by another hand between a session and its model: LiteLLM's proxy before the narrator.

It is not among the development packages, for it brings a hundred of its own; see CONTRIBUTING.md.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import urllib.request
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import foretell
from foretell.streams.anthropic_model import AnthropicModel
from foretell.streams.models import Delta, Message, Request, Stop, Usage
from foretell.streams.narrator.engine import Engine
from foretell.streams.narrator.profiles import Profile
from foretell.streams.narrator.server import running

PROXY = os.environ.get("FORETELL_LITELLM") or shutil.which("litellm")

pytestmark = [
    pytest.mark.real_time,
    pytest.mark.skipif(
        PROXY is None,
        reason="no litellm here: pip install 'litellm[proxy]' into a venv of its own, and set "
        "FORETELL_LITELLM to its bin/litellm",
    ),
]

KEY = "sk-f0c1a7b2e95d4836a1b0c9d8e7f6a5b4"
PATIENCE = 60.0
SLOW = Profile("slow", "made for tests", 1e6, 1e6, ttft=0.05, tokens_per_second=40)
ASK = Request("claude-sonnet-5-5", (Message("user", "Go on."),), max_tokens=200)
STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 12, "max_hp": 12},
    },
}
CONFIG = """
model_list:
  - model_name: claude-sonnet-5-5
    litellm_params: &narrator
      model: anthropic/claude-sonnet-5-5
      api_base: http://127.0.0.1:{port}
      api_key: none
  - model_name: claude-haiku-5-5
    litellm_params: {{<<: *narrator, model: anthropic/claude-haiku-5-5}}
  - model_name: mocked
    litellm_params: {{<<: *narrator, mock_response: '{{"text": "It was told whole."}}'}}
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """LiteLLM's proxy, and the port at which it looks for a narrator."""
    folder: Path = tmp_path_factory.mktemp("litellm")
    narrator, port = free_port(), free_port()
    (folder / "config.yaml").write_text(CONFIG.format(port=narrator), encoding="utf-8")
    own = {"LITELLM_MASTER_KEY": KEY, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_PROXY": "*"}
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [str(PROXY), "--config", "config.yaml", "--host", "127.0.0.1", "--port", str(port),
             "--telemetry", "False"],
            cwd=folder, env={**kept, **own}, stdout=said, stderr=said,
        )  # fmt: skip
        try:
            _wait_for(f"http://127.0.0.1:{port}/health/liveliness", process)
            yield f"http://127.0.0.1:{port}", narrator
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until it answers: it takes ten seconds to begin."""
    for _ in range(round(PATIENCE / 0.25)):
        with suppress(OSError), urllib.request.urlopen(url, timeout=1.0):
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.25)
            break
    pytest.fail("LiteLLM's proxy did not begin")


@asynccontextmanager
async def between(proxy: tuple[str, int], speed: Profile = SLOW) -> AsyncGenerator[Engine]:
    engine = Engine(speed)
    async with running(speed, port=proxy[1], engine=engine):
        yield engine


@asynccontextmanager
async def door(url: str) -> AsyncGenerator[AnthropicModel]:
    model = AnthropicModel(url, KEY)
    try:
        yield model
    finally:
        await model.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what another process does sets no event here
            await asyncio.sleep(0.01)


async def test_an_answer_comes_through_as_it_is_written(proxy: tuple[str, int]) -> None:
    async with between(proxy) as engine, door(proxy[0]) as model:
        written_yet = []
        async with aclosing(model.stream(ASK)) as events:
            found = []
            async for event in events:
                found.append(event)
                if isinstance(event, Delta):
                    written_yet.append(not engine.open)
        assert len(written_yet) > 5 and not written_yet[0]
        assert found[-1] == Stop("end_turn")
        last = [event for event in found if isinstance(event, Usage)][-1]
        [account] = engine.accounts
        assert (last.input, last.output, last.final) == (account.input, account.output, True)


async def test_closing_a_stream_reaches_the_model_behind_it(proxy: tuple[str, int]) -> None:
    async with between(proxy) as engine, door(proxy[0]) as model:
        async with aclosing(model.stream(ASK)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    break
        await until(lambda: engine.totals.cancelled == 1)
        assert engine.totals.finished == 0


async def test_a_session_prepares_tells_and_cancels_through_it(proxy: tuple[str, int]) -> None:
    async with between(proxy) as engine:
        settings = {"base_url": proxy[0], "max_tokens": 200}
        async with foretell.Game(settings, api_key=KEY) as game:
            session = await game.session("t")
            session.update(STATE)
            session.begin_turn("mira")
            action = session.declare("mira", "slash", target="goblin")
            made = session.generations
            await until(lambda: [str(each.phase) for each in made.live] == ["done"] * 3)
            telling = await action.outcome("hit", damage=3)
            assert telling.text
            assert session.report()["served"]["hit"] == 1
            assert session.report()["unstreamed"] == 0
            session.begin_turn("mira")
            session.declare("mira", "leap", target="goblin")
            await until(lambda: len(engine.open) >= 1)
            session.end_turn()
            await until(lambda: not engine.open)
            assert engine.totals.cancelled >= 1
            report = session.report()
        spent = [each for each in report["ledger"] if not each["estimated"]]
        sent = [each for each in engine.accounts if each.ended == "finished"]
        assert sum(each["output"] for each in spent) == sum(each.output for each in sent)


async def test_its_mock_answers_in_one_piece_which_is_told_and_said(
    proxy: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"base_url": proxy[0], "main_model": "mocked", "intensity": "off"}
    async with foretell.Game(settings, api_key=KEY) as game:
        session = await game.session("t")
        session.update(STATE)
        for told in (1, 2):
            telling = await session.outcome("mira", "slash", "miss", target="goblin")
            assert telling.text == "It was told whole."
            assert session.report()["unstreamed"] == told
    said = [each for each in caplog.messages if "with one plain body" in each]
    assert len(said) == 1 and proxy[0] in said[0]
