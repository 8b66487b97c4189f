"""Campaign profiles: one file, and what of it changes while the game runs."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell.operators.prompts import DefaultPrompts
from foretell.replay.source import opened
from foretell.replay.verify import verify
from foretell.streams.log import read
from foretell.streams.models import Request
from foretell.testing import Script, ScriptedModel, instant, run_virtual

STATE = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin-2": {"name": "Snag", "side": "foes", "hp": 70, "max_hp": 70},
    },
}
PROFILE = {
    "main_model": "bard-large",
    "small_model": "bard-small",
    "tone": "wry",
    "language": "German",
    "length": 3,
    "intensity": "aggressive",
    "budget": {"session_usd": 2.5, "turn_tokens": 9000},
}
VOICES = ("German", "French")


class MyRules:
    """Nobody ever misses."""

    def odds(self, *given: Any) -> dict[str, float]:
        return {"hit": 1.0}

    def damage(self, *given: Any) -> None:
        return None


def voice(request: Request) -> str:
    return next((name for name in VOICES if f"write in {name}" in request.system), "English")


def in_its_language(request: Request, number: int) -> Script:
    return Script({"text": f"({voice(request)}) The sword falls."}, ttft=1.0)


# ── the file ──────────────────────────────────────────────────────────────────────────────────────


def test_a_profile_in_json_is_the_one_in_toml(tmp_path: Path) -> None:
    as_json, as_toml = tmp_path / "campaign.json", tmp_path / "campaign.toml"
    as_json.write_text(json.dumps(PROFILE), encoding="utf-8")
    lines = [f"{name} = {json.dumps(value)}" for name, value in PROFILE.items() if name != "budget"]
    budget = "[budget]\nsession_usd = 2.5\nturn_tokens = 9000\n"
    as_toml.write_text("\n".join([*lines, budget]), encoding="utf-8")
    found = foretell.Settings.load(as_json)
    assert found == foretell.Settings.load(as_toml) == foretell.Settings.load(PROFILE)
    assert (found.length, found.budget.turn_tokens) == (3, 9000)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "campaign.json: unexpected end"),
        ("[1]", "campaign.json: settings are an object of names and values, not [1]"),
        ("[" * 100_000, "campaign.json: "),
        ('{"spend": NaN}', "campaign.json: unexpected character"),
        ('{"tone": 5}', "campaign.json: tone: Input should be a valid string"),
        ('{"length": 0}', "campaign.json: length: "),
        ('{"length": 12}', "length 12 has no room in max_tokens 400: use 480"),
        ('{"budget": {"turn_token": 1}}', "campaign.json: budget.turn_token: unknown setting"),
    ],
)
def test_a_bad_profile_is_one_clear_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "campaign.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(foretell.ConfigError) as error:
        foretell.Game(path)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_tone_language_and_length_are_in_the_prompt_and_else_nothing_is() -> None:
    plain = DefaultPrompts().system
    assert '"full" is two to four sentences' in plain and "Tone" not in plain
    told = DefaultPrompts("Old ballads.", "wry", "German", 3).system
    assert told.startswith(plain[:200]) and '"full" is about 3 sentences' in told
    assert told.endswith("\nStyle: Old ballads.\nTone: wry\nLanguage: write in German\n")
    assert '"full" is one sentence' in DefaultPrompts(length=1).system


def test_the_rules_module_is_imported_and_no_recording_names_it(tmp_path: Path) -> None:
    named = {"rules_module": f"{__name__}:MyRules", "log_dir": str(tmp_path)}
    game = foretell.Game(named, model=ScriptedModel())
    assert type(game.odds) is MyRules
    assert "rules_module" not in game.described()["settings"]
    assert game.described()["guests"]["odds"].endswith(":MyRules")
    for bad, said in (
        ("no_such_module:Rules", "No module named"),
        ("json:Rules", "has no attribute 'Rules'"),
        ("json", "name it as MODULE:NAME"),
        ("foretell_no.such:Rules", "rules_module foretell_no.such:Rules: No module named"),
        ("json:loads", "odds must have methods odds and damage"),
    ):
        with pytest.raises(foretell.ConfigError, match=said):
            foretell.Game({"rules_module": bad})


# ── a change while it runs ────────────────────────────────────────────────────────────────────────


async def test_another_language_holds_from_the_next_text_on() -> None:  # 13
    model = ScriptedModel(in_its_language)
    async with foretell.Game({"language": "German"}, model=model) as game:
        session = await game.session("a")
        session.update(STATE)
        action = session.declare("mira", "longsword", target="goblin-2")
        await asyncio.sleep(10)
        assert {voice(each.request) for each in model.streams} == {"German"}
        before = len(model.streams)
        game.apply({"language": "French"})
        await instant()
        assert {voice(each.request) for each in model.open} == {"French"}
        action.outcome("hit", damage=3)
        await asyncio.sleep(0.1)  # those of before are whole, and of no use
        game.apply({"language": "German", "memory_tokens": 10})
        telling = session.narrative
        texts: list[Any] = []
        telling.subscribe(texts.append)
        await asyncio.sleep(10)
        assert len(model.streams) > before
        assert session.transcript.text() == "(French) The sword falls."  # as it was begun
        assert session.settings.memory_tokens == 10
        session.declare("mira", "axe", target="goblin-2")
        await instant()
        assert {voice(each.request) for each in model.open} == {"German"}


async def test_a_change_that_is_no_voice_drops_nothing_that_is_prepared() -> None:
    model = ScriptedModel(in_its_language)
    async with foretell.Game({"main_from": 0, "spend": "none"}, model=model) as game:
        session = await game.session("a")
        session.update(STATE)
        action = session.declare("mira", "longsword", target="goblin-2")
        await asyncio.sleep(10)
        before = len(model.streams)
        game.apply({"main_from": 0, "spend": "none", "overlap": "queue", "max_tokens": 500})
        await instant()
        assert len(model.streams) == before
        await action.outcome("hit", damage=3)
        assert session.report()["served"]["hit"] == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"max_speculations": 2}, "settings: max_speculations cannot change while the game runs"),
        ({"seed": 9, "tone": "wry"}, "settings: seed cannot change while the game runs"),
        ({"tone": 5}, "tone: Input should be a valid string"),
        ({"length": 19}, "length 19 has no room in max_tokens 400"),
        ({"volume": 11}, "unknown setting"),
    ],
)
async def test_what_cannot_change_is_refused_whole(change: dict[str, Any], said: str) -> None:
    async with foretell.Game({}, model=ScriptedModel()) as game:
        session = await game.session("a")
        for apply in (game.apply, session.apply):
            with pytest.raises(foretell.ConfigError, match=said):
                apply(change)
        await instant()
        assert game.settings == session.settings == foretell.Settings()


async def test_what_one_session_cannot_take_changes_none() -> None:
    async with foretell.Game({}, model=ScriptedModel()) as game:
        first, second = await game.session("a"), await game.session("b")
        second.apply({"length": 10})
        await instant()
        with pytest.raises(foretell.ConfigError, match="length 10 has no room in max_tokens 200"):
            game.apply({"max_tokens": 200})
        await instant()
        assert game.settings.max_tokens == first.settings.max_tokens == 400


async def test_a_session_keeps_what_it_changed_for_itself() -> None:
    async with foretell.Game({}, model=ScriptedModel()) as game:
        session, other = await game.session("a"), await game.session("b")
        session.intensity = "off"
        session.apply({"tone": "grim"})
        game.apply({"language": "German"})
        await instant()
        assert (session.intensity, session.settings.tone) == ("off", "grim")
        assert session.settings.language == other.settings.language == "German"
        assert (other.intensity, other.settings.tone) == ("conservative", "")
        game.apply({"intensity": "aggressive"})
        await instant()
        assert session.intensity == other.intensity == "aggressive"
        assert (await game.session("c")).intensity == "aggressive"


async def test_a_budget_that_is_raised_is_there_at_once() -> None:  # G3
    model = ScriptedModel(in_its_language)
    async with foretell.Game({"budget": {"hour_tokens": 0}}, model=model) as game:
        session = await game.session("a")
        session.update(STATE)
        session.declare("mira", "longsword", target="goblin-2")
        await instant()
        assert not model.streams
        game.apply({"budget": {"hour_tokens": 100_000}})
        session.declare("mira", "axe", target="goblin-2")
        await instant()
        assert model.open
        game.apply({"budget": {"session_tokens": 0}})
        await instant()
        before = len(model.streams)
        session.declare("mira", "spear", target="goblin-2")
        await asyncio.sleep(5)
        assert len(model.streams) == before


async def test_a_change_may_come_from_any_thread() -> None:
    async with foretell.Game({}, model=ScriptedModel()) as game:
        session = await game.session("a")
        thread = threading.Thread(target=game.apply, args=({"tone": "wry"},))
        thread.start()
        thread.join()
        await instant()
        assert session.settings.tone == "wry"


def evening(folder: Path, *, sittings: int = 1) -> Path:
    async def play() -> None:
        for sitting in range(sittings):
            settings = {"log_dir": str(folder), "language": "German", "length": 2}
            async with foretell.Game(settings, model=ScriptedModel(in_its_language)) as game:
                session = await game.session("table-7")
                session.update(STATE)
                for number in range(4):
                    session.begin_turn("mira")
                    action = session.declare("mira", "longsword", target="goblin-2")
                    await asyncio.sleep(0.9)
                    if number == 1 + sitting:
                        game.apply({"language": "French", "intensity": "aggressive", "length": 2})
                    await asyncio.sleep(2.0)
                    action.outcome("hit", damage=3)
                    await asyncio.sleep(3.0)

    run_virtual(play())
    return folder / "table-7.jsonl"


@pytest.mark.parametrize("sittings", [1, 2])
def test_a_night_with_another_profile_replays_exactly(sittings: int, tmp_path: Path) -> None:  # G9
    path = evening(tmp_path, sittings=sittings)
    changes = [each.data["changed"] for each in read(path) if each.kind == "~settings"]
    assert changes == [{"language": "French", "intensity": "aggressive"}] * sittings
    found = verify(path, heavy=True)
    assert found.difference is None and found.lines
    edited = path.read_bytes().replace(b"~settings", b"~sett1ngs")
    path.write_bytes(edited)
    assert verify(path).difference is not None


def test_a_plain_replay_asks_for_the_same_and_a_policy_keeps_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from foretell.__main__ import main

    path = evening(tmp_path / "one")
    asked = [each for each in read(path) if each.kind == "~asked"]
    assert main(["replay", str(path), "--json"]) == 0
    streams = orjson.loads(capsys.readouterr().out)["streams"]
    assert streams["requests"] == streams["recorded"] == len(asked)
    with opened(evening(tmp_path / "two", sittings=2), {}) as source:
        own = [each.value for each in source.wishes() if each.kind == "~settings"]
        kept = [each.value for each in source.wishes(("language",)) if each.kind == "~settings"]
    assert own == [{"language": "French", "intensity": "aggressive"}, None, own[0]]
    assert kept == [{"intensity": "aggressive"}, None, {"intensity": "aggressive"}]
