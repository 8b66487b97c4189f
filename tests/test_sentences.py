"""Sentences out of a stream: the right ones, at once, and the same in whatever pieces."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foretell.operators import sentences
from foretell.operators.sentences import Sentence, Sentences


def cut(text: str, language: str = "en", piece: int = 1) -> list[Sentence]:
    cutter = Sentences(language)
    pieces = (text[at : at + piece] for at in range(0, len(text), piece))
    found = [sentence for each in pieces for sentence in cutter.feed(each)]
    return found + cutter.finish()


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", ["Dr. Smith fell.", "He has 3.50 gold.", "Nobody moves."]),
        ("en", ["Bring light, e.g. Torches or lamps.", "Go!"]),
        ("en", ["Mr. J. R. Tolkien wrote it at 3 p.m. in bed.", "He slept."]),
        ("en", ["It waits... and waits… and waits...", "Then it strikes…", "You run."]),
        ("en", ['"Stop!" she said.', '"Go away."', "He left.", "'Why?'", "“Because.”", "So."]),
        ("en", ["He said “Stop.", "Now.", "Please.”", "Then he left."]),
        ("en", ["What?!", "No!!", "(He means it.)", "*He does.*", "She left foo.Bar alone."]),
        ("en", ["A title", "A paragraph\nof two lines."]),
        ("en", ["The end"]),
        (
            "ja",
            [
                "彼は倒れた。",
                "「やめろ。」と彼女は言った。",
                "「行け！」",
                "「はい。」",
                "静かだ。",
            ],
        ),
        ("zh", ["他走了。", "“停！”", "她说。", "完"]),
        ("de", ["Er zahlt 3,50 Gold, z. B. in Münzen.", "Dr. Müller kam am 3. Mai.", "Ende."]),
        ("fr-FR", ["M. Dupont est là.", "« Arrête ! » dit-il.", "Oui."]),
        ("de", ["„Halt!“", "Er lief.", "„Was?“, fragte sie.", "„Nie.“"]),
        ("de", ["„Halt!“ rief er.", "„Nein.", "Nie.", "Gut.“", "Er lief."]),
        ("de", ["»Halt!«", "Er lief.", "»Was?«, fragte sie.", "»Nie.«"]),
        ("de", ["“Halt!”", "Er lief.", "“Nie.”", "Ende."]),
        ("en-GB", ["He said „Halt!“", "She left.", "“No.”", "So."]),
        ("cs", ["„Stůj!“ řekl.", "Šel.", "„Ne.“", "Konec."]),
        ("pl", ["„Stój!” krzyknął.", "Poszedł.", "„Nie.”", "Koniec."]),
        ("nl", ["„Stop!” riep hij.", "Hij ging.", "„Nee.”", "Einde."]),
        ("sv", ["”Stopp!” sa hon.", "Han gick.", "”Nej.”", "Slut."]),
        ("fi", ["”Seis!” hän sanoi.", "Hän lähti.", "”Ei.”", "Loppu."]),
        ("el", ["Πού πας;", "Έφυγε.", "Γιατί;", "Ναι."]),
        ("es", ["¡Hola!", "¿Qué pasa?", "Nada."]),
        ("hi", ["वह गया।", "वह आया।"]),
    ],
)
def test_sentences_come_out_right(language: str, sentences: list[str]) -> None:
    blank = "" if language in {"ja", "zh"} else "\n\n" if "A title" in sentences else " "
    for piece in (1, 3, 1000):
        assert cut(blank.join(sentences), language, piece) == sentences


def test_a_sentence_is_out_when_the_first_word_of_the_next_is() -> None:
    cutter = Sentences()
    assert cutter.feed("The blade bites. ") == []
    assert cutter.feed("Blood") == []
    assert cutter.feed(" ") == ["The blade bites."]
    cutter = Sentences("ja")
    assert cutter.feed("彼は倒れた。") == []
    assert cutter.feed("静") == ["彼は倒れた。"]


def test_a_sentence_knows_where_it_stands() -> None:
    (first, second) = cut("  Yes.  No. ")
    assert (first.start, first.end, second.start, second.end) == (2, 6, 8, 11)
    cutter = Sentences(path=("text",))
    cutter.feed("Yes")
    assert cutter.finish()[0].path == ("text",)


prose = st.text(alphabet=' ab.AB!?"”“„»«;)(…\n。「」*_e.g1', max_size=80) | st.lists(
    st.sampled_from(
        ["Dr. ", "e.g. ", "He fell. ", '"No!" ', "… ", "3.5 ", "x" * 600, " " * 600, "。"]
    )
).map("".join)


@given(prose, st.sampled_from(["en", "ja", "de", "sv", "el"]), st.integers(1, 9))
@example("a" * 2100 + ". B", "en", 7)
@example("ab " * 800, "en", 7)
@example("Dr. " + "x" * 990 + "Dr. " + " " * 600 + "Dr. x", "en", 1)
@example("。「" + " " * 2000 + "a. B", "ja", 3)
@example("(" * 200 + "“「" * 700 + "a. B", "en", 3)
def test_any_pieces_give_the_same_sentences_and_lose_nothing(
    text: str, language: str, piece: int
) -> None:
    whole = cut(text, language, len(text) or 1)
    assert cut(text, language, piece) == whole
    assert "".join("".join(whole).split()) == "".join(text.split())
    assert all(text[each.start : each.end] == each == each.strip() != "" for each in whole)
    assert all(a.end <= b.start for a, b in pairwise(whole))
    assert all(len(each) <= 1000 for each in whole)


def test_what_is_held_is_bounded_and_looked_at_once() -> None:
    """A text with no end of a sentence in it is not scanned again and again."""
    seen: list[int] = []
    cutter = Sentences()
    library = cutter._library

    def counted(language: str, text: str) -> list[str]:
        seen.append(len(text))
        return list(library(language, text))

    cutter._library = counted
    for _ in range(5000):
        cutter.feed("etc. and ")
    assert max(seen) <= 1100
    assert len(seen) <= 5000 + 50
    assert len(cutter._tail) <= 1100


def test_a_run_of_blanks_costs_as_its_length(effort: Any) -> None:
    def blanks(count: int) -> Callable[[], object]:
        cutter = Sentences()
        cutter.feed("a" + " " * count)
        return lambda: [cutter.feed(" ") for _ in range(40)]

    few, many = effort(blanks(60), sentences), effort(blanks(960), sentences)
    assert many.calls <= 1.2 * few.calls and few.grows_with(many, 16)


@pytest.mark.parametrize("part", [" ", "\t", "\n", ".", "*", "“", "(", "x", "„", ". ", '" '])
def test_no_pattern_goes_back_in_a_run(part: str) -> None:
    run = "a" + part * 500_000 + "b"
    for pattern in (sentences.MARKS, sentences.OPENING, sentences.QUOTES, sentences.UNREAD):
        for _ in pattern.finditer(run):  # if each place looked at the rest of the run: in hours
            pass


def test_an_unknown_language_is_cut_all_the_same() -> None:
    assert cut("He fell. She ran.", "xx") == ["He fell.", "She ran."]


@pytest.mark.parametrize("blank", ["\u00a0", "\u202f", "\u3000", "\u2003", "\u2028", "\x85"])
@pytest.mark.parametrize("language", ["en", "fr", "ja"])
def test_a_wide_blank_between_a_letter_and_a_stop_is_read(blank: str, language: str) -> None:
    text = f"Choose A{blank}. Then go."
    for piece in (1, 5, 99):
        assert " ".join(cut(text, language, piece)) == text


def test_half_a_surrogate_pair_is_handed_on() -> None:
    assert cut("It is \ud83d. Then go.") == ["It is \ud83d.", "Then go."]


def test_a_quotation_over_paragraphs_is_closed_by_what_opens_one_elsewhere() -> None:
    text = "„Nein.\n\nSie sah ihn an. Nein, halt!“ Er lief."
    assert cut(text, "de") == ["„Nein.", "Sie sah ihn an.", "Nein, halt!“", "Er lief."]


def test_a_sentence_is_cut_at_the_last_word_before_a_thousand_characters() -> None:
    text = "word " * 500
    first = Sentences().feed(text)[0]
    assert len(first) == 999 and first.endswith(" word")
