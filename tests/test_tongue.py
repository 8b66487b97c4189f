"""A text in another language than the one that was asked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import foretell
from foretell import Served, Status
from foretell.operators.tongue import NAMES, code_of, foreign
from foretell.replay.verify import verify
from foretell.streams.models import Request
from foretell.streams.narrator.profiles import profile
from foretell.streams.narrator.server import running
from foretell.testing import Script, ScriptedModel, run_virtual

TEXTS = {
    "ar": "تضرب ميرا العفريت بسيفها الطويل فيسقط على الأرض وهو يصرخ من الألم.",
    "bg": "Мира замахва с меча си и удря гоблина в рамото, но той не пада и се изправя още веднъж.",
    "cs": "Mira zasáhne goblina do ramene, ale ten jen zavrávorá, protože ještě "
    "není mrtvý, a už se brání.",
    "da": "Mira svinger sit sværd mod nissen, og den vakler, men den falder ikke om på gulvet.",
    "de": "Mira holt mit dem Schwert aus und trifft den Goblin an der Schulter, "
    "aber er fällt nicht.",
    "el": "Η Μίρα σηκώνει το σπαθί της και χτυπά το τελώνιο στον ώμο, μα αυτό δεν πέφτει.",
    "en": "Mira swings her sword and strikes the goblin on the shoulder, but it does not fall.",
    "es": "Mira alza la espada y golpea al trasgo en el hombro, pero este no cae y sigue en pie.",
    "fi": "Mira iskee hiittä miekalla, mutta se ei kaadu, vaan jää vielä "
    "seisomaan ja on yhä vihainen.",
    "fr": "Mira lève son épée et frappe le gobelin à l'épaule, mais il ne tombe "
    "pas sur les dalles.",
    "he": "מירה מניפה את חרבה ופוגעת בכתפו של הגובלין, אך הוא אינו נופל.",
    "hi": "मीरा अपनी तलवार घुमाती है और पिशाच के कंधे पर वार करती है, पर वह नहीं गिरता।",
    "hu": "Mira meglendíti a kardját, és vállon találja a goblint, de az nem "
    "esik el, csak meginog.",
    "it": "Mira alza la spada e colpisce il goblin alla spalla, ma la creatura non cade e ringhia.",
    "ja": "ミラは剣を振り上げ、ゴブリンの肩に斬りつけたが、それは倒れなかった。",
    "ko": "미라가 칼을 휘둘러 고블린의 어깨를 베었지만 고블린은 쓰러지지 않았다.",
    "nl": "Mira zwaait haar zwaard en raakt de kobold in zijn schouder, maar hij valt niet om.",
    "no": "Mira svinger sverdet mot nissen, og den vakler, men den faller ikke om på gulvet.",
    "pl": "Mira zamachuje się mieczem i trafia goblina w ramię, ale on nie pada, "
    "tylko się chwieje.",
    "pt": "Mira ergue a espada e acerta o goblin no ombro, mas ele não cai e rosna para o grupo.",
    "ro": "Mira ridică sabia și îl lovește pe goblin în umăr, dar el nu cade și mârâie către ea.",
    "ru": "Мира взмахивает мечом и бьёт гоблина в плечо, но тот не падает, а только шатается.",
    "sv": "Mira svingar sitt svärd mot vättern, och den vacklar, men den faller inte på golvet.",
    "th": "มีร่าเหวี่ยงดาบฟันเข้าที่ไหล่ของก็อบลิน แต่มันไม่ล้มลง",
    "tr": "Mira kılıcını savurur ve goblinin omzuna bir darbe indirir, ama o "
    "yere düşmez, daha ayakta.",
    "uk": "Міра замахується мечем і б'є гобліна в плече, але він не падає, а ще "
    "тримається на ногах.",
    "zh": "米拉挥起长剑，狠狠地砍在地精的肩膀上，可是它没有倒下，反而向前扑来，嘴里不停地怒吼着。",
}
ALIKE = ({"da", "no", "sv"}, {"cs", "pl"}, {"es", "pt", "it", "fr"}, {"bg", "ru", "uk"})
STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 12, "max_hp": 12},
    },
}


def test_there_is_a_text_of_each_language_that_is_known() -> None:
    assert TEXTS.keys() == NAMES.keys()


@pytest.mark.parametrize("code", TEXTS)
def test_what_was_asked_for_passes_and_what_was_not_does_not(code: str) -> None:
    assert foreign(f"{TEXTS[code]} {TEXTS[code]}", code) is None
    for other, text in TEXTS.items():
        akin = any({code, other} <= kin for kin in ALIKE)
        if other != code and not akin:
            assert foreign(f"{text} {text}", code), f"{other} passes for {code}"
    assert foreign(TEXTS[code], None) is None


@pytest.mark.parametrize("text", ["", "Mira!", "Goblin 2, {damage}", "3, 2, 1 … 0!", "Ha! Ha! Ha!"])
def test_what_is_too_short_to_tell_passes(text: str) -> None:
    assert not any(foreign(text, code) for code in NAMES)


def test_names_of_another_script_are_no_other_language() -> None:
    told = "Goblin 2 und Herr von Ζεύς fallen nicht; aber der König ist mit ihnen auf dem Weg."
    assert foreign(told, "de") is None
    assert foreign("Мира бьёт Hobgoblin-а мечом, но он не падает, а стоит.", "ru") is None


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("German", "de"), ("deutsch", "de"), ("de", "de"), ("de-AT", "de"), ("Français", "fr"),
        ("plain, old-fashioned English", "en"), ("日本語", "ja"), ("हिन्दी", "hi"),
        ("", None), ("Klingon", None), ("English with some French", None), ("polished", None),
        ("it was", "it"),
    ],
)  # fmt: skip
def test_a_language_is_known_by_its_name(said: str, code: str | None) -> None:
    assert code_of(said) == code


# ── in a session ─────────────────────────────────────────────────────────────────────────────────


def spoken(ahead: str, now: str) -> Callable[[Request, int], Script]:
    return lambda request, number: Script(
        {"text": TEXTS[ahead if request.purpose == "prefetch" else now]}, ttft=0.5
    )


async def played(answer: Any, folder: Path | None = None, **settings: Any) -> Any:
    given = {"log_dir": str(folder)} if folder else {}
    async with foretell.Game(given | settings, model=ScriptedModel(answer)) as game:
        session = await game.session("table")
        session.update(STATE)
        session.begin_turn("mira")
        action = session.declare("mira", "longsword", target="goblin")
        await asyncio.sleep(10)
        telling = action.outcome("miss")
        await telling
    return telling.ended


async def test_a_variant_in_another_language_is_not_told() -> None:
    for language, served in (("German", Served.MISS), ("English", Served.HIT), ("", Served.HIT)):
        end = await played(spoken("en", "de"), language=language)
        assert end.served == (served,), language
        assert end.text == TEXTS["de" if served is Served.MISS else "en"]


async def test_what_a_player_waits_for_is_told_and_the_language_is_remarked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "foretell"):
        end = await played(spoken("en", "en"), language="German", intensity="off")
    assert (end.status, end.text) == (Status.DONE, TEXTS["en"])
    assert "t4 is not in German: it seems to be English" in caplog.text


async def test_that_variants_are_in_another_language_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "foretell"):
        await played(spoken("fr", "de"), language="German")
    assert caplog.text.count("what is prepared is not in German: it seems to be French") == 1


def test_an_exact_replay_leaves_the_same(tmp_path: Path) -> None:
    run_virtual(played(spoken("en", "fr"), tmp_path, language="German"))
    log = tmp_path / "table.jsonl"
    walked = verify(log, lambda settings: foretell.Game(settings, model=ScriptedModel()))
    assert walked.difference is None and "not in German" in log.read_text()


@pytest.mark.real_time
async def test_the_narrator_speaks_english_whatever_it_is_asked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(profile("instant")) as url:
        for language, remarked in (("English", False), ("German", True)):
            given = {"base_url": url, "language": language}
            caplog.clear()
            async with foretell.Game(given, api_key="none") as game:
                session = await game.session("table")
                session.update(STATE)
                session.begin_turn("mira")
                for _ in range(3):
                    await session.outcome("mira", "longsword", "miss", target="goblin")
            assert ("is not in German: it seems to be English" in caplog.text) is remarked
