"""Whether a text is in the language that was asked for, as far as that is cheap to tell."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

__all__ = ["code_of", "foreign"]

LETTERS = 24
"""A text of fewer letters is not looked at: it may be a name."""
BETWEEN = re.compile(r"[\s,.;:()/_-]+")
WORDS = 6
"""A text of fewer words is of any language, as far as words go."""
SURE = 4
"""So many more words of another language than of its own are no accident."""

NAMES: Mapping[str, str] = {
    "ar": "arabic",
    "bg": "bulgarian български",
    "cs": "czech čeština česky",
    "da": "danish dansk",
    "de": "german deutsch",
    "el": "greek ελληνικά",
    "en": "english",
    "es": "spanish español castellano",
    "fi": "finnish suomi",
    "fr": "french français francais",
    "he": "hebrew עברית",
    "hi": "hindi हिन्दी",
    "hu": "hungarian magyar",
    "it": "italian italiano",
    "ja": "japanese 日本語",
    "ko": "korean 한국어",
    "nl": "dutch nederlands",
    "no": "norwegian norsk",
    "pl": "polish polski",
    "pt": "portuguese português portugues",
    "ro": "romanian română",
    "ru": "russian русский",
    "sv": "swedish svenska",
    "th": "thai ไทย",
    "tr": "turkish türkçe",
    "uk": "ukrainian українська",
    "zh": "chinese mandarin cantonese 中文 汉语 漢語",
}

SCRIPTS: Mapping[str, str] = {
    "Latin": "A-Za-zÀ-ɏḀ-ỿ",
    "Greek": "Ͱ-Ͽἀ-῿",
    "Cyrillic": "Ѐ-ԯ",
    "Hebrew": "\u0590-\u05ff",
    "Arabic": "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufefc",
    "Devanagari": "\u0900-\u097f",
    "Thai": "\u0e00-\u0e7f",
    "Japanese": "\u3040-\u30ff",
    "Korean": "\u1100-\u11ff\uac00-\ud7af",
    "Chinese": "\u3400-\u4dbf\u4e00-\u9fff",
}
OF_SCRIPT = {name: re.compile(f"[{ranges}]") for name, ranges in SCRIPTS.items()}
WRITTEN: Mapping[str, tuple[str, ...]] = {
    "ar": ("Arabic",),
    **dict.fromkeys(("bg", "ru", "uk"), ("Cyrillic",)),
    "el": ("Greek",),
    "he": ("Hebrew",),
    "hi": ("Devanagari",),
    "ja": ("Japanese", "Chinese"),
    "ko": ("Korean", "Chinese"),
    "th": ("Thai",),
    "zh": ("Chinese",),
}
"""The letters of a language, where they are not the Latin ones."""

STOP_WORDS: Mapping[str, str] = {
    "bg": "на да се за не от по със като но той тя това през му ще са беше върху още докато",
    "cs": "se na je že do jako ale po jeho její za už není který která když však ještě protože",
    "da": "og det er en på af til den som med ikke men hun han sig fra over ud mod et hans "
    "hendes",
    "de": "und der die das den dem des ein eine einen einem einer ist nicht mit auf von sich im "
    "zu aus noch aber er sie es wie wird doch seine ihre über durch als nur wieder nach gegen",
    "en": "the and of to is it its with from into but his her their that as on at by for he she "
    "they while before then out not there through against back over under this",
    "es": "el la los las de que en un una se con por su sus del al pero como no más es sobre "
    "mientras hacia lo le contra desde entre sin",
    "fi": "ja on ei se hän että kun mutta ovat kuin hänen sen niin vain jo yli kohti vielä oli",
    "fr": "le la les et de des du un une dans que qui sur se ne pas est avec pour son sa ses en "
    "il elle mais plus au aux par comme sous vers sans tandis",
    "hu": "az és egy nem hogy de meg is van csak már még mint amikor aki majd ki el be fel azt",
    "it": "il lo la gli le di che un una del della nel nella con per si non ma come più da sul "
    "sulla al alla suo sua mentre verso contro",
    "nl": "de het een en van is niet met op te in dat zijn haar hij zij maar naar om uit door "
    "aan nog als wordt over tegen terwijl zich",
    "no": "og det er en på av til den som med ikke men hun han seg fra over ut mot et hans "
    "hennes",
    "pl": "na się nie do jest że jak ale po jego jej już który która przez tylko gdy jeszcze",
    "pt": "os as de que em um uma se com por seu sua do da dos das no na não mas como mais "
    "sobre enquanto ao pelo pela",
    "ro": "și în de la nu cu pe din se un este care dar mai ce prin lui ei către după când ca "
    "spre",
    "ru": "на не что он она как но его её по из за от же ещё уже был была над перед когда",
    "sv": "och det är en på av till den som med inte men hon han sig från över ut mot ett hans "
    "hennes",
    "tr": "ve bir bu da de ile için ama gibi ne daha çok kadar sonra onun üzerine doğru değil",
    "uk": "на не що він вона як але його її по із за від до ще вже був була над перед коли",
}  # fmt: skip
"""Words of two letters and more that hardly a sentence does without."""


@lru_cache(maxsize=64)
def code_of(said: str) -> str | None:
    """The language that is meant by a setting: ``German``, ``de`` or ``plain German``.

    :return: its ISO 639 code; none, where no language is named that is known, or several are.
    """
    words = [word for word in BETWEEN.split(said.lower()) if word]
    named = [code for code, names in NAMES.items() if any(word in names.split() for word in words)]
    if not named and len(words) <= 2:  # de, or de-AT
        named = [word for word in words[:1] if word in NAMES]
    return named[0] if len(named) == 1 else None


KNOWN = {code: frozenset(words.split()) for code, words in STOP_WORDS.items()}


def foreign(text: str, code: str | None) -> str | None:
    """What is wrong with the language of a text; ``None`` if nothing is, as far as can be told.

    It goes by the letters, and by the words that hardly a sentence does without. A text that is
    short, or in a language that is not known here, passes.
    """
    if code is None:
        return None
    letters = {name: len(found.findall(text)) for name, found in OF_SCRIPT.items()}
    total = sum(letters.values())  # ints
    if total < LETTERS:
        return None
    most = max(letters, key=lambda name: letters[name])
    wanted = WRITTEN.get(code, ("Latin",))
    if most not in wanted and 2 * letters[most] > total:
        return f"it is in {most} letters"
    if code in ("ja", "ko") and not letters[wanted[0]]:
        return "it is in Chinese letters alone"
    own = KNOWN.get(code)
    words = re.findall(r"[^\W\d_]+", text.lower())
    if own is None or len(words) < WORDS:
        return None
    of_own = sum(word in own for word in words)  # ints
    others = {each: sum(word in known - own for word in words) for each, known in KNOWN.items()}
    if max(others.values()) < of_own + SURE:
        return None
    likely = max(KNOWN, key=lambda each: sum(word in KNOWN[each] for word in words))  # ints
    return f"it seems to be {NAMES[likely].split()[0].capitalize()}"
