"""The narrator's structured answers: a JSON value that a JSON schema asked for.

``text``, ``lines`` and ``cues`` are filled from the story; everything else by its type, in short
and harmless words, required properties before optional ones. The entries of a list differ, and a
plan has several; where there is little room there are fewer, and nothing optional. Supported are
the schemas that structured outputs and tools use: ``type``, ``enum``, ``const``, ``properties``,
``items``, ``prefixItems``, ``format``, bounds (those a description tells, too), ``anyOf`` /
``oneOf`` / ``allOf`` and ``$ref`` within the document.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from .bounds import FORMATS, fitted, with_limits
from .choosing import choice_for
from .gist import gist
from .grammar import Story, tell
from .planning import EACH, LONG, names_in, words_for
from .plans import plans_for
from .tails import trunk_for
from .voice import Voice, phrases

__all__ = ["MAX_DEPTH", "answer", "fill"]

MAX_DEPTH = 12
"""Deeper than this only what is required is filled; twice as deep, nothing is."""

_TEXTS = ("text", "narration", "narrative", "prose", "story", "description", "content")
_PLENTY = 3
"""How much is written where there is room; 0 is the least a schema allows."""

_WHO = ("speaker", "actor", "name", "who", "npc")


class _Filler:
    def __init__(
        self,
        root: Mapping[str, Any],
        story: Story,
        voice: Voice,
        names: Sequence[str] = (),
        plenty: int = _PLENTY,
    ) -> None:
        self.root = root
        self.story = story
        self.voice = voice
        self.names = names
        self.plenty = plenty
        self._count = self._before = 0
        self._entries: tuple[int, ...] = ()
        """Which entry is being written of each list around, the outermost first."""

    def value(self, schema: Any, name: str = "", depth: int = 0) -> Any:
        """A value for ``schema``, which stands under the property ``name``."""
        if not isinstance(schema, Mapping):
            return self._phrase(name)
        schema = with_limits(self._resolved(schema, depth))
        self._count += 1
        if "const" in schema:
            return schema["const"]
        if isinstance(options := schema.get("enum"), list) and options:
            return self._one_of(name, options)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((k for k in kind if k != "null"), "null")
        if kind is None:
            kind = (
                "object" if "properties" in schema else "array" if "items" in schema else "string"
            )
        if depth > 2 * MAX_DEPTH:
            return {"object": {}, "array": [], "string": "", "boolean": False, "null": None}.get(
                kind, 0
            )
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer" | "number":
                return self._quantity(schema, kind == "integer")
            case "boolean":
                return bool(self._number(2))
            case "null":
                return None
        return self._string(schema, name, depth)

    def _resolved(self, schema: Mapping[str, Any], depth: int = 0) -> Mapping[str, Any]:
        """``schema`` with references followed, alternatives chosen and ``allOf`` merged."""
        for _ in range(32):
            if isinstance(ref := schema.get("$ref"), str):
                target: Any = self.root
                for step in ref.removeprefix("#").strip("/").split("/"):
                    step = step.replace("~1", "/").replace("~0", "~")
                    target = (
                        target.get(step, {}) if step and isinstance(target, Mapping) else target
                    )
                schema = target if isinstance(target, Mapping) else {}
                continue
            options = schema.get("anyOf") or schema.get("oneOf")
            if isinstance(options, list) and options:
                usable = [o for o in options if isinstance(o, Mapping)] or [{}]
                rest = {k: v for k, v in schema.items() if k not in ("anyOf", "oneOf")}
                deep = depth > MAX_DEPTH // 2  # where nothing is the end of what holds itself
                wanted = [o for o in usable if (o.get("type") == "null") is deep]
                chosen = self._one_of("kind", wanted or usable, first=True)
                schema = {**rest, **chosen}
                continue
            if isinstance(parts := schema.get("allOf"), list) and parts:
                merged = {k: v for k, v in schema.items() if k != "allOf"}
                for part in parts:
                    resolved = self._resolved(part) if isinstance(part, Mapping) else {}
                    both = dict(merged.get("properties", {})) | dict(resolved.get("properties", {}))
                    needed = [*merged.get("required", []), *resolved.get("required", [])]
                    merged = {**merged, **resolved}
                    merged |= {"properties": both, "required": needed} if both else {}
                schema = merged
                continue
            return schema
        return {}

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, Mapping) else {}
        required = [k for k in schema.get("required", []) if isinstance(k, str)]
        names = [k for k in properties if k in required]
        if depth < MAX_DEPTH // 3 and self.plenty > 1:
            names += [k for k in properties if k not in required]
        names += [k for k in required if k not in properties]
        written: dict[str, Any] = {}
        for name in names:
            if depth == 0:
                self._before = len(orjson.dumps(written))
            written[name] = self.value(properties.get(name, {}), name, depth + 1)
        return written

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> list[Any]:
        least = int(schema.get("minItems", 0))
        long = name in LONG
        most = int(schema.get("maxItems", max(9 if long or name in EACH else 3, least)))
        items = schema.get("items", {})
        if isinstance(prefix := schema.get("prefixItems"), list):
            out = [self.value(s, name, depth + 1) for s in prefix[:most]]
            return out + [self.value(items, name, depth + 1) for _ in range(least - len(out))]
        item = self._resolved(items) if isinstance(items, Mapping) else {}
        fields = item.get("properties", {})
        given: list[Any] | None = None
        if name == "lines" and {"speaker", "text"} <= set(fields):
            given = [self._line(item, who, what, depth) for who, what in self.story.lines]
        elif name == "cues" and _free_text(item):
            given = [fitted(item, cue) for cue in self.story.cues]
        if given is not None:
            while len(given) < least:
                given.append(self.value(items, name, depth + 1))
            return given[:most]
        wanted = 1 if depth > MAX_DEPTH // 3 else 1 + self._number(3)
        if long and depth < MAX_DEPTH // 2:
            wanted = (0, 1, 4, 7 + self._number(3))[self.plenty]
        elif name in EACH:
            wanted = max(2, len(self.names)) if self.plenty > 1 else 1
        wanted = min(wanted, 9 * self.plenty)
        count = min(most, max(least, wanted if depth < MAX_DEPTH else 0))
        out, around = [], self._entries
        for entry in range(count):
            self._entries = (*around, entry)
            out.append(self.value(items, name.removesuffix("s"), depth + 1))
        if long and depth == 1 and self.plenty == _PLENTY and out:
            head = self._before + len(name) + len(orjson.dumps(out[0])) + 8
            while len(out) < int(schema.get("maxItems", 9 * _PLENTY)):
                if len(orjson.dumps(out)) > 4 * head:  # the first comes in the first quarter
                    break
                self._entries = (*around, len(out))
                out.append(self.value(items, name.removesuffix("s"), depth + 1))
        self._entries = around
        if schema.get("uniqueItems"):
            out = list({orjson.dumps(v): v for v in out}.values())
        return out

    def _line(self, item: Mapping[str, Any], who: str, what: str, depth: int) -> dict[str, Any]:
        line, fields = self._object(item, depth + 1), item["properties"]
        for name, said in (("speaker", who), ("text", what)):
            field = self._resolved(fields[name])
            if _free_text(field):
                line[name] = fitted(field, said)
        return line

    def _quantity(self, schema: Mapping[str, Any], whole: bool) -> Any:
        low = schema.get("minimum", schema.get("exclusiveMinimum"))
        high = schema.get("maximum", schema.get("exclusiveMaximum"))
        step = schema.get("multipleOf", 1 if whole else None)
        if low is None:
            low = 0 if high is None or high > 0 else high - 10
        if high is None:
            high = low + 10
        if not whole and step is None:
            return low + (high - low) * (1 + self._number(7)) / 8
        step = step or 1
        first = math.ceil(low / step) + (low == schema.get("exclusiveMinimum") and low % step == 0)
        last = math.floor(high / step) - (
            high == schema.get("exclusiveMaximum") and high % step == 0
        )
        chosen = (first + self._number(max(1, last - first + 1))) * step
        return int(chosen) if whole else chosen

    def _string(self, schema: Mapping[str, Any], name: str, depth: int) -> str:
        if (shape := FORMATS.get(str(schema.get("format")))) is not None:
            return shape.format(1 + self._number(28))
        if depth <= 1 and re.split(r"_|(?<=[a-z])(?=[A-Z])", name)[-1].lower() in _TEXTS:
            text = self.story.text
        elif name in ("sound", "cue") and self.story.cues:
            text = self.story.cues[0]
        elif self._entries and (words := words_for(name, self.names)):
            text = self._one_of(name, words)
        elif name in _WHO and self.story.lines:
            text = self.story.lines[0][0]
        else:
            text = self._phrase(name)
        return fitted(schema, text)

    def _one_of(self, name: str, options: Sequence[Any], first: bool = False) -> Any:
        """One of ``options``, in a list each in its turn; outside of one the first if wished."""
        if not self._entries:
            return options[0 if first else self._number(len(options))]
        *around, entry = self._entries
        order = sorted(
            range(len(options)), key=lambda n: self.voice.number(f"{name}{around}{n}", 2**32)
        )
        return options[order[entry % len(options)]]

    def _phrase(self, name: str) -> str:
        options = phrases()["linger"] + phrases()["after"]["even"][:2]
        return (
            options[self._number(len(options))]
            if name in (*_TEXTS, "reason")
            else _MURMURS[self._number(len(_MURMURS))]
        )

    def _number(self, below: int) -> int:
        return self.voice.number(f"fill{self._count}", below)


def _free_text(schema: Mapping[str, Any]) -> bool:
    """Whether ``schema`` takes any words."""
    return schema.get("type", "string") == "string" and not {"enum", "const"} & set(schema)


_MURMURS: Sequence[str] = (
    "a low murmur", "a held breath", "something unsaid", "a steady hand", "the long way round",
    "a quiet word", "a change of wind", "an old habit",
)  # fmt: skip


def fill(
    schema: Mapping[str, Any],
    story: Story,
    voice: Voice,
    names: Sequence[str] = (),
    plenty: int = _PLENTY,
) -> Any:
    """A value that satisfies ``schema``, with ``story`` in the places made for it.

    :param names: who is there, for the agents and targets of plans.
    :param plenty: from 3, all there is to say, to 0, the least that the schema allows.
    """
    return _Filler(schema, story, voice, names, plenty).value(schema)


def answer(
    prompt: str,
    said: str,
    seed: int,
    schema: Mapping[str, Any] | None,
    *,
    room: int | None = None,
    about: str = "",
) -> str:
    """What the narrator says to a prompt: prose, or JSON text where a schema is given.

    :param room: the most characters it should take; JSON says less until it fits, or as little as
        it can.
    :param about: what tells this answer from others to the same prompt.
    """
    if schema is not None and (plans := plans_for(prompt, seed, schema, room)) is not None:
        return plans
    if schema is not None and (chosen := choice_for(prompt)) is not None:
        return chosen
    if schema is not None and (trunk := trunk_for(prompt, said, seed, schema)) is not None:
        tails = [
            {"of": of, "telling": fill(trunk.schema, story, Voice(seed, prompt, said, f"{of}"))}
            for of, story in trunk.tails
        ]
        return orjson.dumps({"trunk": trunk.text, "tails": tails}).decode()
    if schema is None and (summed := gist(prompt, None if room is None else room // 2)) is not None:
        return summed
    story = tell(prompt, said, seed)
    if schema is None:
        return story.text
    names = names_in(prompt)
    text = ""
    for plenty in range(_PLENTY, -1, -1):
        voice = Voice(seed, prompt, said, *([about] if about else []))
        text = orjson.dumps(fill(schema, story, voice, names, plenty)).decode()
        if room is None or len(text) <= room:
            break
    return text
