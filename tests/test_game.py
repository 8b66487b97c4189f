"""The game: its settings, its sessions, and the door to models it opens and closes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import foretell
from foretell import ConfigError, StateError
from foretell.streams.clock import VirtualLoop
from foretell.streams.models import ModelUnavailable
from foretell.streams.plain import PlainFallback
from foretell.testing import Script, ScriptedModel


def miss(session: foretell.Session[Any]) -> foretell.Telling[Any]:
    return session.outcome("mira", "longsword", "miss", target="goblin")


# ── settings ─────────────────────────────────────────────────────────────────────────────────────


def test_settings_come_from_a_file_a_mapping_or_nowhere(tmp_path: Path) -> None:
    file = tmp_path / "campaign.toml"
    file.write_text('intensity = "off"\noverlap = "queue"\ndeadline = 7\n', encoding="utf-8")
    for source in (file, str(file), {"intensity": "off", "overlap": "queue", "deadline": 7}):
        settings = foretell.Game(source, model=ScriptedModel()).settings
        assert settings.intensity is foretell.Intensity.OFF
        assert settings.overlap is foretell.Overlap.QUEUE
        assert settings.deadline == 7
    defaults = foretell.Game(model=ScriptedModel()).settings
    assert defaults.intensity is foretell.Intensity.CONSERVATIVE
    assert defaults.overlap is foretell.Overlap.CONFLATE
    assert defaults.deadline == 20
    assert foretell.Game(defaults, model=ScriptedModel()).settings is defaults


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"intensty": "off"}, "settings: intensty: unknown setting; see foretell.Settings"),
        ({"intensity": "lots"}, "settings: intensity: "),
        ({"deadline": 0}, "settings: deadline: "),
        ({"max_speculations": 1000}, "settings: max_speculations: "),
        ({"quiet": 2, "max_wait": 1}, "settings: quiet is 2, more than max_wait, 1"),
        ({"narrator_profile": "warp"}, "warp"),
        ("no such file.toml", "no such file.toml: no such file"),
    ],
)
def test_a_bad_setting_is_one_clear_line(given: Any, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        foretell.Game(given)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_toml_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    for content in (b"intensity = off", b"\xff\xfe\x00"):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"bad\.toml: ") as error:
            foretell.Game(file)
        assert "\n" not in str(error.value)


# ── the door to models ───────────────────────────────────────────────────────────────────────────


async def written(*given: Any) -> str:
    return "Go on."


class Written:
    async def __call__(self, *given: Any) -> str:
        return "Go on."


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"settings": 5}, "settings are a file or a mapping, not int"),
        ({"narration": dict}, "narration must be a pydantic model"),
        ({"narration": {"text": ""}}, "narration must be a pydantic model"),
        ({"prompts": written}, "must be a plain function, not an async one"),
        ({"prompts": 5}, "prompts must be a function or a class of them, not 5"),
        ({"prompts": Written}, "must be a plain function, not an async one"),
        ({"rules": 5}, "rules must be a list of Rule, not 5"),
        ({"rules": [("combat", ("fight",))]}, "rules must be a list of Rule"),
        ({"model": 5}, "model must have a method stream, not 5"),
    ],
)
def test_a_guest_of_the_wrong_kind_is_one_clear_line(given: Any, said: str) -> None:
    with pytest.raises(foretell.ConfigError, match=said):
        foretell.Game(**given)


async def test_without_a_key_the_narrator_speaks() -> None:
    async with foretell.Game({"narrator_profile": "instant"}) as game:
        session = await game.session("x")
        telling = await miss(session)
        assert telling.text
        assert session.report()["served"]["miss"] == 1


def test_a_key_or_an_address_opens_the_door_to_the_api(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "foretell.streams.anthropic_model.AnthropicModel", lambda **given: opened.append(given)
    )
    foretell.Game({"base_url": "http://localhost:1"})
    foretell.Game(api_key="k")
    foretell.Game({"api_key": "of the file"})
    foretell.Game({"api_key": "of the file"}, api_key="k")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    game = foretell.Game()
    assert opened == [
        {"base_url": "http://localhost:1", "api_key": None},
        {"base_url": None, "api_key": "k"},
        {"base_url": None, "api_key": "of the file"},
        {"base_url": None, "api_key": "k"},
        {"base_url": None, "api_key": None},
    ]
    assert isinstance(game.model, PlainFallback)


async def test_a_key_in_the_settings_is_shown_nowhere(tmp_path: Path) -> None:
    given = {"api_key": "sk-of-the-file", "log_dir": str(tmp_path)}
    async with foretell.Game(given, model=ScriptedModel()) as game:
        session = await game.session("x")
        await miss(session)
        with pytest.raises(ConfigError) as refused:
            game.apply({"api_key": "sk-of-another"})
        shown = f"{game.settings!r} {game.described()} {session.report()} {refused.value}"
        assert game.settings.api_key is not None
    assert "sk-of" not in shown + (tmp_path / "x.jsonl").read_text(encoding="utf-8")
    assert "api_key" not in (tmp_path / "x.jsonl").read_text(encoding="utf-8")


class Door(ScriptedModel):
    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


async def test_a_game_closes_its_own_door_and_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    own, given = Door(), Door()
    monkeypatch.setattr("foretell.game._open_model", lambda settings, api_key: own)
    async with foretell.Game():
        pass
    async with foretell.Game(model=given):
        pass
    assert (own.closed, given.closed) == (1, 0)


async def test_the_door_is_closed_even_if_the_end_is_cut_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = Door(Script(hangs=True))
    monkeypatch.setattr("foretell.game._open_model", lambda settings, api_key: own)
    game: foretell.Game[foretell.Narration] = foretell.Game()
    telling = miss(await game.session("x"))
    closing = asyncio.create_task(game.aclose(60))
    await asyncio.sleep(1)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert own.closed == 1
    assert telling.ended is not None and not own.open


# ── sessions ─────────────────────────────────────────────────────────────────────────────────────


async def test_two_sessions_share_nothing_but_the_door() -> None:
    model = ScriptedModel(lambda request, number: {"text": f"Text {number}."})
    async with foretell.Game({"intensity": "off"}, model=model) as game:
        one, two = await game.session("one"), await game.session("two")
        one.update({"actors": {"mira": {}}})
        texts = [(await miss(session)).text for session in (one, two)]
        assert one.transcript.text() == texts[0] != texts[1] == two.transcript.text()
        assert two.world.state == {}
        await one.close()
        assert await miss(two)


async def test_an_id_is_open_once_and_free_again_when_closed() -> None:
    async with foretell.Game(model=ScriptedModel()) as game:
        session = await game.session("table-7")
        with pytest.raises(StateError, match="'table-7' is already open"):
            await game.session("table-7")
        await session.close()
        async with await game.session("table-7") as again:
            assert again is not session
        with pytest.raises(StateError, match="is closed"):
            again.update({})


class Warming(Door):
    fails = False

    async def warm(self) -> None:
        await asyncio.sleep(1)
        if self.fails:
            raise ModelUnavailable("not there")


async def test_an_id_opened_twice_at_once_is_open_once(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Warming()
    monkeypatch.setattr("foretell.game._open_model", lambda settings, api_key: own)
    async with foretell.Game() as game:
        one, two, other = await asyncio.gather(
            game.session("a"), game.session("a"), game.session("b"), return_exceptions=True
        )
        assert isinstance(one, foretell.Session) and isinstance(other, foretell.Session)
        assert isinstance(two, StateError) and "'a' is already open" in str(two)


async def test_an_id_is_free_again_when_opening_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Warming()
    monkeypatch.setattr("foretell.game._open_model", lambda settings, api_key: own)
    async with foretell.Game() as game:
        own.fails = True
        with pytest.raises(ModelUnavailable):
            await game.session("a")
        opening = asyncio.create_task(game.session("a"))
        await asyncio.sleep(0.5)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        own.fails = False
        assert await game.session("a")


async def test_a_closed_game_opens_nothing() -> None:
    game = foretell.Game(model=ScriptedModel())
    await game.aclose()
    with pytest.raises(StateError, match="the game is closed"):
        await game.session("late")


async def test_a_server_that_hangs_is_not_waited_for_long() -> None:
    async with foretell.Game(model=ScriptedModel(Script(ttft=500))) as game:
        begun = asyncio.get_running_loop().time()
        with pytest.raises(ModelUnavailable, match="no answer in 20 s"):
            await game.check()
        assert asyncio.get_running_loop().time() - begun == 20


def test_a_session_whose_loop_is_gone_says_so_each_time() -> None:
    async def opened() -> foretell.Session[Any]:
        return await foretell.Game(model=ScriptedModel()).session("orphan")

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        session = runner.run(opened())
        del runner
    for _ in range(2):
        with pytest.raises(StateError, match=r"event loop .* has ended|is closed"):
            session.update({})


async def test_sessions_are_drained_together() -> None:
    loop = asyncio.get_running_loop()
    game = foretell.Game(model=ScriptedModel(Script(hangs=True)))
    tellings = [miss(await game.session(name)) for name in "abc"]
    await asyncio.sleep(1)
    start = loop.time()
    await game.aclose(drain=5)
    assert loop.time() - start == pytest.approx(5, abs=1)
    assert all(telling.ended is not None for telling in tellings)


async def test_one_session_that_cannot_be_closed_keeps_none_of_the_others_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = Door()
    monkeypatch.setattr("foretell.game._open_model", lambda settings, api_key: own)
    game: foretell.Game[foretell.Narration] = foretell.Game()
    bad, good = await game.session("bad"), await game.session("good")
    whole = bad.close

    async def close(drain: float = 5.0) -> None:
        await whole(drain)
        raise OSError("disk full")

    monkeypatch.setattr(bad, "close", close)
    with pytest.raises(OSError, match="disk full"):
        await game.aclose()
    assert own.closed == 1
    with pytest.raises(StateError, match="is closed"):
        good.update({})


@pytest.mark.parametrize(
    "bad", [5, None, "", "a/b", "../x", ".hidden", "a b", "a\n", "ä", "x" * 129]
)
async def test_an_id_that_could_not_name_a_file_is_refused(bad: Any) -> None:
    async with foretell.Game(model=ScriptedModel()) as game:
        with pytest.raises(StateError, match="is not usable: letters, digits") as error:
            await game.session(bad)
        assert "\n" not in str(error.value)
        await game.session("a" * 128)
