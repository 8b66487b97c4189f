"""The narrator's prose: deterministic, from a grammar, fitted to what happened.

It is a grammar and no language model. It reads one line of the last user message, ``FACTS``
followed by a JSON object, and writes a telling of exactly those facts: a hit never kills, a miss
never connects, and a number is stated only where it was given, or left as a typed hole such as
``{damage}`` where it is named as a slot. The same prompt and seed give the same words on every
machine; a phrase that already stands in the conversation is avoided while others are left.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from .additions import add
from .facts import HELPS, Happening, find_facts, find_scene, read_telling
from .lexicon import Named, possessive, title
from .voice import Voice, phrases

__all__ = ["Story", "tell", "wind_up"]

_FOE = Named("the foe", "the foe", "its", "it", "itself", False)


@dataclass(frozen=True, slots=True)
class Story:
    """What the grammar made of a prompt."""

    text: str
    lines: tuple[tuple[str, str], ...] = ()
    cues: tuple[str, ...] = ()


class _Teller:
    """Writes sentences for one prompt, in one voice."""

    def __init__(self, voice: Voice, calm: bool = False) -> None:
        self.voice = voice
        self.calm = calm
        self.book = phrases()
        self._bound: dict[tuple[str, str], str] = {}

    def say(self, key: str, options: Sequence[str], h: Happening) -> str:
        """A template with everything but its numbers filled in."""
        target = h.target or _FOE
        template = self.voice.pick(key, options, lambda o: _fits(o, h, target))
        return re.sub(r"\[([^\]]+)\]", lambda m: self._word(m[1], h, target), template)

    def _word(self, word: str, h: Happening, target: Named) -> str:
        said = _words(h, target).get(word)
        if said is not None:
            return said
        options = self.book["element"].get(h.element, self.book["element"]["arcane"])[word]
        if word not in ("shape", "mass"):
            return self.voice.pick(f"{word}:{h.name}", options)
        # The same wave of fire strikes all its targets; after the first mention it is known.
        bound = self._bound.get((h.name, word))
        if bound is None:
            bound = self.voice.pick(f"{word}:{h.name}", options, shifted=False)
            self._bound[h.name, word] = re.sub("^an? ", "the ", bound)
        return bound.replace("[t's]", possessive(target.again))

    def opening(self, h: Happening) -> str:
        book = self.book["open"]
        if h.kind == "attack":
            family = (
                h.tool.kind
                if h.tool.kind in book
                else "natural"
                if h.tool.kind == "slam"
                else "melee"
            )
            return self.say("open", book[family], h)
        return self.say("open", book["spell" if h.kind == "cast" else "other"], h)

    def event(self, h: Happening) -> tuple[str, str]:
        """What happened to the target, as one sentence, and the mood it leaves."""
        book, result = self.book, h.result
        if h.lies and h.kind not in ("attack", "cast", "talk"):
            worked = h.result in ("success", "hit", "critical")
            mood = "good" if worked else "bad" if h.failed else "even"
            return self.say("lying", self.book["lying"][mood], h) + self._damage(h), "even"
        if h.down and not h.dies and h.kind != "move":
            return self._at_the_fallen(h)
        if h.kind in ("move", "talk") or (h.target is None and h.kind != "attack"):
            return self._deed(h)
        if h.helps:
            return self._help(h)
        attack = h.kind == "attack"
        family = h.tool.kind if attack else "spell" if h.kind == "cast" else "deed"
        if h.dies:
            kill = book["kill"]
            sentence = self.say("kill", kill.get(family, kill["melee"]), h)
            return sentence + self._damage(h, final=True), "kill"
        if attack and result == "success" and h.damage is not None and not h.save:
            result = "hit"
        elif h.kind == "cast":
            if result in ("success", "failure"):
                return self._spell(h)
        elif result in ("success", "failure") or (
            not attack and result in ("hit", "miss", "critical")
        ):
            return self._deed_at(h)
        if result in ("hit", "critical") and "damage" in h.numbers and h.damage is None:
            return self.say("harmless", book["harmless"], h), "even"
        if result == "critical":
            strong = book["critical"]
            return self.say("crit", strong.get(family, strong["melee"]), h) + self._damage(
                h
            ), "badly"
        if result == "miss":
            wide = book["miss"]
            aim = "wide" if h.unsure else family if family in wide else "melee"
            return self.say("miss", wide[aim], h), "miss"
        if result == "hit":
            return self.say("hit", book["hit"][family], h) + self._damage(h), "hurt"
        if result in ("concealed", "resisted"):
            return self.say(result, book[result], h), "miss"
        return self.say("own", book["own"], h) + self._damage(h), "even"

    def _at_the_fallen(self, h: Happening) -> tuple[str, str]:
        """What came of something done to one who lay there before, and lies there still."""
        if h.kind == "talk" or h.helps:
            word = "talk" if h.kind == "talk" else "help"
        elif h.kind == "attack" or (h.kind == "cast" and not h.save):
            word = "miss" if h.failed or h.result == "concealed" else "hit"
        else:
            word = "deed"
        return self.say("down", self.book["down"][word], h) + self._damage(h), "even"

    def _spell(self, h: Happening) -> tuple[str, str]:
        """What came of a spell that is not aimed like a blow."""
        book, failed = self.book, h.result == "failure"
        if not h.save:
            if failed:
                return self.say("fizzle", book["fizzle"], h), "fizzle"
            if h.damage is not None:
                return self.say("hit", book["hit"]["spell"], h) + self._damage(h), "hurt"
        elif not failed:
            return self.say("save", book["save_made"], h) + self._damage(h), "shaken"
        elif h.damage is not None:
            return self.say("save", book["save_failed"], h) + self._damage(h), "hurt"
        elif "damage" in h.numbers:
            return self.say("harmless", book["harmless"], h), "even"
        return self.say("holds", book["unsaved" if h.save else "holds"], h), "good"

    def _deed_at(self, h: Happening) -> tuple[str, str]:
        """What came of something done to somebody."""
        word = "success" if h.result in ("success", "hit", "critical") else "failure"
        if h.alone:
            book, worked = self.book["deed"]["own"], word == "success"
        elif h.save and h.result == word:
            book, worked = self.book["deed"]["save"], word == "failure"
        else:
            book, worked = self.book["deed"]["at"], word == "success"
        sentence = self.say("deed", book[word], h) + self._damage(h)
        return sentence, "hurt" if h.damage is not None else "good" if worked else "miss"

    def _damage(self, h: Happening, final: bool = False) -> str:
        if h.damage is None:
            return ""
        if final:
            return self.voice.pick(
                "D", [" — {damage} damage, and more than enough", " — {damage} damage"]
            )
        return self.voice.pick("D", [" — {damage} damage", ", good for {damage} damage"])

    def _help(self, h: Happening) -> tuple[str, str]:
        book = self.book[h.element]
        if h.failed:
            return self.say("help", book["fail"], h), "fizzle"
        healed = (
            " — {healing} HP restored" if "healing" in h.numbers and h.element == "mend" else ""
        )
        return self.say("help", book["self" if h.alone else "other"], h) + healed, h.element

    def _deed(self, h: Happening) -> tuple[str, str]:
        if h.kind == "move":
            way = "stuck" if h.failed else "toward" if h.target else "nowhere"
            return self.say("move", self.book["move"][way], h), "miss" if h.failed else "even"
        if h.helps and h.kind != "talk":
            return self._help(h)
        if h.result in ("success", "hit", "critical"):
            return self.say("deed", self.book["deed"]["success"], h), "good"
        if h.result in ("failure", "miss"):
            return self.say("deed", self.book["deed"]["failure"], h), "miss"
        return self.say(
            "own", self.book["own"][1:] if h.target else self.book["after"]["even"], h
        ), "even"

    def reaction(self, h: Happening, mood: str) -> str:
        key = {"miss": "unmoved", "hurt": "hurt", "badly": "badly", "shaken": "shaken"}.get(mood)
        if key is None or h.target is None or h.effects:
            return ""
        if h.kind not in ("attack", "cast") and h.damage is None:
            return ""
        if not h.numbers and h.element in ("psychic", "nature", "poison") and h.kind == "cast":
            return ""
        hp = ""
        if mood != "miss" and "target_hp" in h.numbers:
            hp = self.voice.pick("H", [" — {target_hp} HP left", " — down to {target_hp} HP"])
        return self.say("react", self.book["react"][key], h) + hp

    def after(self, h: Happening, mood: str) -> str:
        if h.lies:
            return ""
        if self.calm and h.kind != "attack":
            return self.say("after", self.book["after"]["quiet"], h)
        if mood in HELPS:
            return self.say("after", self.book[mood]["after"], h)
        if (
            h.kind == "cast"
            and mood in ("hurt", "badly", "shaken", "kill")
            and self.voice.number("lit", 2)
        ):
            element = self.book["element"].get(h.element, self.book["element"]["arcane"])
            return self.say("after", element["after"], h)
        key = {
            "kill": "kill",
            "miss": "bad",
            "fizzle": "bad",
            "shaken": "even",
            "even": "even",
        }.get(mood, "good")
        return self.say("after", self.book["after"][key], h)

    def effects(self, h: Happening) -> str:
        if not h.effects or h.dies or h.down or h.target is None:
            return ""
        return f"{h.target.name} is left {' and '.join(h.effects)}"


def _words(h: Happening, target: Named) -> dict[str, str]:
    """What stands for the holes of a template about ``h``."""
    return {
        "A": h.actor.name,
        "A's": possessive(h.actor.name),
        "T": target.name,
        "T's": possessive(target.name),
        "t": target.again,
        "t's": possessive(target.again),
        "its": target.its,
        "it": target.it,
        "itself": target.itself,
        "they": "they" if target.person else "it",
        "w": h.tool.full,
        "n": h.tool.again,
        "shot": h.tool.shot,
        "S": title(h.name),
        "act": title(h.name),
        "word": h.result,
    }


def _fits(option: str, h: Happening, target: Named) -> bool:
    """Whether a template suits who and what it is about."""
    if "[itself]" in option and target.person:
        return False
    if not h.actor.person and re.search("smile|friend|cursing|jaw|shouts", option):
        return False
    if h.target is not None and h.alone and "[A" in option and re.search(r"\[[Tt]", option):
        return False
    if h.alone and "between them" in option:
        return False
    tool = h.tool
    if tool.full == "the blow" and re.search(r"lifts|swings|behind \[w\]|\[w\] r", option):
        return False
    stringless = tool.kind == "bow" and tool.again == "the weapon"
    return not (stringless and re.search("string|shaft|draws|open$|feather|fletch", option))


def _sentence(text: str) -> str:
    text = text.strip()
    return text and text[0].upper() + text[1:] + ("" if text[-1] in '.!?"' else ".")


def _filled(text: str, h: Happening) -> str:
    for key, value in h.numbers.items():
        text = text.replace("{" + key + "}", value)
    return _sentence(text)


def _combat(
    happenings: list[Happening], teller: _Teller, part: bool, opened: bool
) -> tuple[str, str]:
    """The text, and the mood of its end."""
    out: list[str] = []
    mood = "even"
    groups = [list(g) for _, g in groupby(happenings, key=lambda h: h.key)]
    for group in groups:
        first, last = group[0], group[-1]
        if not (part or opened) and len(groups) <= 3 and first.kind != "move" and not first.lies:
            out.append(_filled(teller.opening(first), first))
        moods: set[str] = set()
        for h in group:
            sentence, mood = teller.event(h)
            mood = "even" if h.unsure else mood
            moods.add(mood)
            out.append(_filled(sentence, h))
            if (len(group) == 1 and len(groups) <= 2) or (part and mood in ("hurt", "badly")):
                out.append(_filled(teller.reaction(h, mood), h))
            elif "target_hp" in h.numbers and mood in ("hurt", "badly", "shaken"):
                out[-1] = _filled(out[-1].removesuffix(".") + ", {target_hp} HP left", h)
            out.append(_sentence(teller.effects(h)))
        if not part and group is groups[-1]:
            mixed = mood in ("miss", "fizzle") and len(moods) > 1
            mood = "even" if mixed else mood  # something has come of it
            out.append(_filled(teller.after(last, mood), last))
    return " ".join(s for s in out if s), mood


def _one_story(stories: Sequence[Story]) -> Story:
    """Several, one after the other."""
    return Story(
        " ".join(each.text for each in stories),
        tuple(line for each in stories for line in each.lines),
        stories[0].cues,
    )


def wind_up(entry: Mapping[str, Any], said: str = "", seed: int = 0) -> str:
    """How somebody begins something, whatever comes of it; an empty text, where nobody does.

    :param entry: one of the ``tellings`` or ``endings`` of a prompt.
    """
    first = read_telling(entry, ())
    if first.kind in ("move", "talk") or first.lies:
        return ""
    voice = Voice(seed, *first.key, said[-8000:], said=said[-8000:])
    return _filled(_Teller(voice).opening(first), first)


def tell(prompt: str, said: str = "", seed: int = 0, *, opened: bool = False) -> Story:
    """The story of a prompt.

    :param prompt: the last user message.
    :param said: what stands before it; phrases found there are avoided.
    :param seed: another seed, another telling.
    :param opened: how it is begun has been told.
    """
    from .scenes import answer, describe, plain

    facts = find_facts(prompt)
    if facts is None:
        return plain(prompt, Voice(seed, prompt, said=said))
    if isinstance(adds := facts.get("adds"), list):
        return Story(add(adds, Voice(seed, prompt, said, said=said)))
    raw = facts.get("slots")
    slots = [s for s in raw if isinstance(s, str)] if isinstance(raw, list) else []
    entries = facts.get("tellings")
    happenings = (
        [read_telling(e, slots) for e in entries if isinstance(e, dict)]
        if isinstance(entries, list)
        else []
    )
    part = facts.get("form") == "part"
    around = prompt[: prompt.rfind("FACTS ")] + said[-8000:]
    if part and len(happenings) == 1 and happenings[0].target:
        # Parts are asked for one by one and shown together: the target's number keeps them apart.
        h = happenings[0]
        ordinal = re.search(r"(\d+)$", h.target.name) if h.target else None
        voice = Voice(
            seed, around, *h.key, said=around, shift=int(ordinal[1]) % 997 if ordinal else 0
        )
        if ordinal is None and h.target:
            voice = Voice(seed, around, *h.key, h.target.name, said=around)
    else:
        voice = Voice(seed, prompt, said, said=around)
    context = facts.get("context")
    fighting = any(h.kind in ("attack", "cast") for h in happenings)
    talk = all(h.kind == "talk" and not (h.down or h.unsure or h.lies) for h in happenings)
    if talk and (happenings or context == "dialogue"):
        answers = [answer(facts, h.target, voice, refused=h.failed) for h in happenings]
        return _one_story(answers or [answer(facts, None, voice)])
    walk = all(h.kind == "move" and not (h.failed or h.lies) for h in happenings)
    if walk and (context == "exploration" or not happenings):
        first = happenings[0] if happenings else None
        scene = {**find_scene(said), **facts}
        if first is None:
            return describe(scene, None, None, voice)
        behind = entries[0].get("behind") if isinstance(entries, list) else None
        there = describe(scene, first.actor, first.target, voice, way=first.name, behind=behind)
        after = _Teller(voice)
        rest = [after.say("follow", after.book["follow"], h) for h in happenings[1:]]
        return Story(" ".join([there.text, *map(_sentence, rest)]), there.lines, there.cues)
    if len(happenings) > 1 and len({h.target for h in happenings}) > 1:
        # A hole stands for one target's number; in a text about several it would be ambiguous.
        for h in happenings:
            h.numbers = {k: v for k, v in h.numbers.items() if not v.startswith("{")}
    teller = _Teller(voice, calm=not fighting and context != "combat")
    text, mood = _combat(happenings, teller, part, opened)
    head = happenings[0]
    cue = teller.book["cue"]
    kind = (
        head.tool.kind if head.kind == "attack" else head.element if head.kind == "cast" else "deed"
    )
    lines: tuple[tuple[str, str], ...] = ()
    mood = {"hurt": "good", "badly": "good", "miss": "bad"}.get(mood, mood)
    if (
        not part
        and head.actor.person
        and mood in teller.book["bark"]
        and voice.number("bark", 3) == 0
    ):
        lines = ((head.actor.name, voice.pick("bark", teller.book["bark"][mood])),)
    return Story(text, lines, (voice.pick("cue", cue.get(kind, cue["deed"])),))
