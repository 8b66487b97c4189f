"""One telling out of several pieces: joined as they stream, never taking anything back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foretell.operators.compose import Composer
from foretell.operators.partials import MISSING, Patch, apply
from foretell.operators.slots import fill

VALUES = {"damage": 9, "target": "Grik"}


class Reader:
    """A viewer who applies the patches, and watches that nothing shrinks or comes back."""

    def __init__(self) -> None:
        self.value: Any = MISSING
        self.text = ""
        self.done: set[tuple[Any, ...]] = set()
        self.all: list[Patch] = []

    def take(self, patches: list[Patch], text: str) -> None:
        self.text += text
        for patch in patches:
            assert not any(patch.path[: len(done)] == done for done in self.done), patch
            before = orjson.dumps(self.value) if self.value is not MISSING else b""
            if patch.op == "done":
                self.done.add(patch.path)
            elif not patch.path:
                assert self.value is MISSING
            self.value = apply(self.value, patch)
            assert not before or grew(orjson.loads(before), self.value)
            self.all.append(patch)


def grew(old: Any, new: Any) -> bool:
    """What was there is there, and only longer."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(k in new and grew(v, new[k]) for k, v in old.items())
    if isinstance(old, list):
        if not isinstance(new, list) or len(new) < len(old):
            return False
        return all(grew(a, b) for a, b in zip(old, new, strict=False))
    if isinstance(old, str):
        return isinstance(new, str) and new.startswith(old)
    return bool(old == new)


def compose(
    *pieces: str, cut: int | list[int] = 3, values: Any = VALUES
) -> tuple[Composer, Reader]:
    composer, reader = Composer("text"), Reader()
    for number, piece in enumerate(pieces):
        composer.begin(values, last=number == len(pieces) - 1)
        at, sizes = 0, [cut] if isinstance(cut, int) else cut
        while at < len(piece):
            size = sizes[len(reader.all) % len(sizes)]
            reader.take(*composer.feed(piece[at : at + size]))
            at += size
        reader.take(*composer.finish())
    assert reader.text == composer.text
    if reader.all:
        assert reader.value == composer.value
    return composer, reader


def js(**value: Any) -> str:
    return orjson.dumps(value).decode()


def test_texts_are_joined_with_a_space_and_lists_one_after_the_other() -> None:
    first = js(text="Mira swings.", lines=[{"who": "mira", "says": "Ha!"}], mood="grim")
    second = js(text="Grik falls.", lines=[{"who": "tom", "says": "Well!"}], mood="glad")
    composer, _ = compose(first, second)
    assert composer.value == {
        "text": "Mira swings. Grik falls.",
        "lines": [{"who": "mira", "says": "Ha!"}, {"who": "tom", "says": "Well!"}],
        "mood": "grim",
    }
    assert composer.text == "Mira swings. Grik falls."


def test_what_only_a_later_piece_has_is_kept() -> None:
    composer, _ = compose(js(text="One."), js(text="Two.", cues=["drum"], mood={"of": "dread"}))
    assert composer.value == {"text": "One. Two.", "cues": ["drum"], "mood": {"of": "dread"}}


def test_done_comes_with_the_last_piece_only() -> None:  # G6
    pieces = [js(text="One.", lines=["a"]), js(text="Two.", lines=["b"])]
    _, reader = compose(pieces[0])
    assert reader.done >= {("text",), ("lines",), ()}
    composer, reader = Composer("text"), Reader()
    composer.begin({}, last=False)
    reader.take(*composer.feed(pieces[0]))
    reader.take(*composer.finish())
    assert not reader.done & {("text",), ("lines",), ()}
    composer.begin({}, last=True)
    reader.take(*composer.feed(pieces[1]))
    reader.take(*composer.finish())
    assert reader.done >= {("text",), ("lines",), ()}
    assert reader.all[-1] == Patch((), "done", None)


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 100])
def test_slots_are_filled_across_the_borders_of_chunks(cut: int) -> None:
    composer, _ = compose(js(text="{target} takes {damage}.", lines=["{damage}!"]), cut=cut)
    assert composer.value == {"text": "Grik takes 9.", "lines": ["9!"]}


def test_each_piece_has_its_own_values() -> None:
    composer = Composer("text")
    for damage, last in ((9, False), (4, True)):
        composer.begin({"damage": damage}, last=last)
        composer.feed(js(text="{damage} down."))
        composer.finish()
    assert composer.text == "9 down. 4 down."


@pytest.mark.parametrize("cut", [1, 4, 1000])
@pytest.mark.parametrize(
    "text",
    [
        "Mira swings.",
        "{target} reels from the blow.",
        "[The door creaks.] Nobody stirs.",
        "`Ha!` says Mira.",
        "{ nothing of an object",
        "x" * 500,
        "An open {",
        "{[odd brackets] at the start",
        "{{target}} reels.",
        "```\nWords in a fence.",
    ],
)
def test_plain_text_becomes_the_text(text: str, cut: int) -> None:
    composer, reader = compose(text, cut=cut)
    told = fill(text, VALUES)
    assert composer.value == {"text": told} and composer.text == told
    assert reader.done == {("text",), ()}


@pytest.mark.parametrize("cut", [1, 100])
@pytest.mark.parametrize("text", ["{", " [\n", "{ ", "```", "```json\n", "```json\n{", "\n"])
def test_an_answer_that_is_cut_where_its_json_begins_is_no_text(text: str, cut: int) -> None:
    composer, reader = compose(text, cut=cut)
    assert composer.text == ""
    assert composer.value == {}
    assert reader.all == []


def test_plain_text_is_shown_as_it_comes() -> None:
    composer, reader = Composer("text"), Reader()
    composer.begin({}, last=True)
    for word in ("word " * 60).split(" "):
        reader.take(*composer.feed(word + " "))
    assert len(reader.text) > 250


def test_plain_text_and_json_may_stand_side_by_side() -> None:
    composer, _ = compose("Mira swings.", js(text="Grik falls.", lines=["Ha!"]))
    assert composer.value == {"text": "Mira swings. Grik falls.", "lines": ["Ha!"]}
    composer, _ = compose(js(text="Mira swings."), "Grik falls.")
    assert composer.value == {"text": "Mira swings. Grik falls."}


def test_a_code_fence_around_the_json_is_no_text() -> None:
    composer, _ = compose(f"```json\n{js(text='Mira swings.')}\n```")
    assert composer.value == {"text": "Mira swings."}


@pytest.mark.parametrize("cut", [1, 7, 79, 80, 81, 1000])
@pytest.mark.parametrize(
    ("answer", "clean"),
    [
        ("{'text': 'TEXT'}", True),
        ('{text: "TEXT"}', True),
        ("{“text”: “TEXT”}", True),
        ('{ // here it is\n"text": "TEXT"}', True),
        ('Of course:\n{"text": "TEXT"}', True),
        (
            f'{"So it is said, at some length, and nobody knows why. " * 3}\n{{"text": "TEXT"}}',
            False,
        ),
    ],
)
def test_what_is_told_does_not_depend_on_the_chunks(answer: str, clean: bool, cut: int) -> None:
    text = "Steel sings in the dark, and the goblin gives ground. " * 3  # G6
    answer = answer.replace("TEXT", text)
    composer, _ = compose(answer, cut=cut)
    assert composer.text == (text if clean else answer)


def test_an_empty_piece_leaves_no_trace() -> None:
    composer, _ = compose(js(text="One."), "  \n", js(text="Two."))
    assert composer.text == "One. Two."
    composer, _ = compose(js(text="One."), js(text=""))
    assert composer.text == "One."


def test_what_was_cut_off_stays_as_far_as_it_came() -> None:  # G6
    composer, reader = compose('{"text": "Mira swings at {dam')
    assert composer.text == "Mira swings at {dam"
    assert reader.done == set()
    composer, _ = compose('{"text": "Mira swings. ", "li', js(text="Grik falls."))
    assert composer.text.split() == ["Mira", "swings.", "Grik", "falls."]


@pytest.mark.parametrize(
    ("answer", "torn"),
    [
        ('{"text": "He says "Run!" and falls.", "lines": []}', True),
        ('{"text": "It bit"]}{"es.", "lines": []}', True),
        ('{"text": "It bites', True),
        ('{"text": "It bites."', False),
        ('{"text": "It bites.", "lines": [{"speaker" "x"}]}', False),
        ('{"text": "It bites.", "lines": []} so it does', False),
    ],
)
def test_a_text_that_is_there_only_in_part_is_known(answer: str, torn: bool) -> None:  # G2
    composer, _ = compose(answer)
    assert composer.torn is torn


def test_our_own_words_come_after_a_space() -> None:
    composer, reader = Composer("text"), Reader()
    composer.begin({}, last=False)
    reader.take(*composer.feed(js(text="Mira swings.")))
    reader.take(*composer.append("The rest is silence."))
    assert composer.value == reader.value == {"text": "Mira swings. The rest is silence."}
    assert reader.done == {("text",), ()}


def test_our_own_words_may_be_all_there_is() -> None:
    composer, reader = Composer("text"), Reader()
    reader.take(*composer.append("Mira hits."))
    assert composer.value == reader.value == {"text": "Mira hits."}


@pytest.mark.parametrize(
    "second",
    [
        js(text=["not", "text"], lines="not a list"),
        js(text=None, lines={"not": "a list"}),
        js(text={"deep": "er"}, lines=[{"a": 1}], mood=["x"]),
        "[1, 2, 3]",
        '[{"text": "in a list"}]',
    ],
)
def test_a_piece_of_another_shape_takes_nothing_back(second: str) -> None:  # G6, G10
    first = js(text="One.", lines=["a"], mood=3, deep={"x": 1})
    composer, reader = compose(first, second)
    assert composer.value["text"].startswith("One.")
    assert composer.value["lines"][0] == "a"
    assert (composer.value["mood"], composer.value["deep"]) == (3, {"x": 1})
    assert all(isinstance(key, str) for key in composer.value)
    assert reader.value == composer.value


words = st.text("ab {}é\n", max_size=12) | st.sampled_from(["{damage}", "{target} {lost}", ""])
values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 99) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner),
    max_leaves=5,
)
pieces = st.lists(
    st.fixed_dictionaries(
        {"text": words},
        optional={"lines": st.lists(values, max_size=3), "mood": values, "cue": words},
    ).map(lambda value: js(**value))
    | st.text("abc .!", min_size=1),
    min_size=1,
    max_size=4,
)


@given(pieces, st.lists(st.integers(1, 9), min_size=1, max_size=5))
@example([js(text="a", lines=["x"]), js(text="b", lines=["y"])], [1])
def test_any_pieces_in_any_chunks_give_one_value_that_only_grows(
    parts: list[str], cut: list[int]
) -> None:  # G6
    """The patches alone rebuild it, and the chunks do not matter."""
    composer, reader = compose(*parts, cut=cut)
    whole, _ = compose(*parts, cut=10_000)
    assert composer.value == whole.value
    assert composer.text == whole.text
    if reader.all:
        assert composer.text == composer.value.get("text", "")


@given(pieces.filter(lambda parts: len(parts) == 1 and parts[0].startswith("{")))
def test_a_single_json_piece_is_itself_with_its_slots_filled(parts: list[str]) -> None:
    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return fill(value, VALUES)
        if isinstance(value, list):
            return [filled(each) for each in value]
        if isinstance(value, dict):
            return {key: filled(each) for key, each in value.items()}
        return value

    composer, _ = compose(*parts)
    assert composer.value == filled(orjson.loads(parts[0]))


@pytest.mark.parametrize("cut", [1, 7, 500])
def test_json_is_looked_for_in_the_first_eighty_characters(cut: int) -> None:
    _, reader = compose("b" * 78 + '{"text": "hi"}', cut=cut)
    assert reader.value == {"text": "hi"}
    plain = "b" * 79 + '{"text": "hi"}'
    _, reader = compose(plain, cut=cut)
    assert reader.value == {"text": plain}


def test_plain_text_waits_for_eighty_characters_and_no_longer() -> None:
    composer = Composer("text")
    composer.begin({}, last=True)
    assert composer.feed("b" * 79) == ([], "")
    assert composer.feed("c")[1] == "b" * 79 + "c"
