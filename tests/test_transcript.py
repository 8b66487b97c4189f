"""What each viewer has seen, and what a prompt may know of it."""

from __future__ import annotations

from typing import Any

from foretell.operators.narrative import Ended, Patched, Served, Started, Status
from foretell.operators.partials import Patch
from foretell.sinks.transcript import Transcript


def begun(telling: str, *to: str) -> Started:
    return Started(telling, (1,), to, 1.0)


def grows(telling: str, text: str, *to: str) -> Patched:
    return Patched(telling, (Patch(("text",), "append", text),), text, to, 2.0)


def ended(telling: str, *to: str, status: Status = Status.DONE) -> Ended:
    return Ended(telling, (1,), to, 3.0, status, (Served.HIT,), (0.0,), (None,), {}, "whole")


def told(*texts: str, most: int = 1000) -> Transcript:
    transcript = Transcript(most)
    for number, text in enumerate(texts):
        tell(transcript, f"t{number}", text)
    return transcript


def tell(transcript: Transcript, telling: str, text: str, *to: str) -> None:
    transcript.on_event(begun(telling, *to))
    for word in text.split(" "):
        transcript.on_event(grows(telling, f"{word} ", *to))
    transcript.on_event(ended(telling, *to))


def test_it_is_what_was_shown_piece_by_piece() -> None:  # G7
    transcript = Transcript()
    transcript.on_event(begun("t1"))
    transcript.on_event(grows("t1", "Mira "))
    assert transcript.text() == "Mira "
    assert not transcript.tellings()[0].ended
    transcript.on_event(grows("t1", "swings."))
    transcript.on_event(ended("t1", status=Status.SUPERSEDED))
    assert transcript.text() == "Mira swings."
    assert transcript.tellings()[0].ended


def test_what_was_skipped_before_its_first_word_has_no_words() -> None:  # G7
    transcript = told("One.")
    transcript.on_event(ended("t9", status=Status.SUPERSEDED))
    assert transcript.text() == "One. "
    assert transcript.memory(100) == "One. "


def test_viewers_see_what_was_for_them_or_for_all() -> None:  # G7
    transcript = Transcript()
    tell(transcript, "t1", "All.")
    tell(transcript, "t2", "Secret.", "mira", "gm")
    assert transcript.text("mira") == transcript.text("gm") == "All. \n\nSecret. "
    assert transcript.text("tom") == "All. "
    assert transcript.text() == "All. \n\nSecret. "


def test_an_interrupted_one_stays_as_far_as_it_was_delivered() -> None:  # G7
    transcript = told("Mira swings wide.")
    transcript.delivered("t0", "mira", 4)
    assert transcript.text("mira") == "Mira"
    assert transcript.text("tom") == "Mira swings wide. "
    transcript.delivered("t0", "mira", 10_000)
    assert transcript.text("mira") == "Mira swings wide. "
    transcript.delivered("t0", "mira", -3)
    assert transcript.text("mira") == ""
    transcript.delivered("nobody's", "mira", 4)


def test_what_is_delivered_may_be_said_before_the_text_of_the_same_moment() -> None:  # 4, G9
    before, after = Transcript(), Transcript()
    before.delivered("t1", "mira", 11)
    before.on_event(begun("t1"))
    before.delivered("t1", "tom", 7)
    for transcript in (before, after):
        tell(transcript, "t1", "One two three.")
    after.delivered("t1", "mira", 11)
    after.delivered("t1", "tom", 7)
    for viewer, text in (("mira", "One two thr"), ("tom", "One two"), ("gm", "One two three. ")):
        assert before.text(viewer) == after.text(viewer) == text
    assert before.memory(100) == after.memory(100) == "One two"


def test_what_is_delivered_of_tellings_that_never_begin_is_kept_within_a_bound() -> None:  # G3
    transcript = Transcript()
    for number in range(10_000):
        transcript.delivered(f"t{number}", "mira", 1)
    assert len(transcript._early) == 100


def test_the_memory_holds_the_last_whole_words_that_fit() -> None:  # G3
    transcript = told("first first", "second", "third")
    assert transcript.memory(100) == "first first \nsecond \nthird "
    assert transcript.memory(4) == "second \nthird "
    assert transcript.memory(5) == "second \nthird "
    assert transcript.memory(3) == transcript.memory(2) == "third "
    for tokens in range(30):
        memory = transcript.memory(tokens)
        assert len(memory.replace("\n", "")) <= tokens * 4
        assert "first first \nsecond \nthird ".endswith(memory)


def test_a_single_long_telling_is_remembered_by_its_end() -> None:
    transcript = told(" ".join(f"word{n}" for n in range(1000)))
    memory = transcript.memory(10)
    assert memory.endswith("word998 word999 ")
    assert 20 < len(memory) <= 40
    assert memory.split(" ")[0] in {f"word{n}" for n in range(1000)}


def test_the_memory_of_an_audience_has_only_what_all_of_it_know() -> None:  # G7
    transcript = Transcript()
    tell(transcript, "t1", "All.")
    tell(transcript, "t2", "Both.", "mira", "gm")
    tell(transcript, "t3", "Hers.", "mira")
    assert transcript.memory(100) == "All. "
    assert transcript.memory(100, ("mira",)) == "All. \nBoth. \nHers. "
    assert transcript.memory(100, ("mira", "gm")) == "All. \nBoth. "
    assert transcript.memory(100, ("tom",)) == "All. "


def test_the_memory_goes_as_far_as_the_slowest_of_its_audience_has_come() -> None:  # G7
    transcript = told("One two three.")
    transcript.delivered("t0", "mira", 3)
    transcript.delivered("t0", "tom", 7)
    assert transcript.memory(100) == "One"
    assert transcript.memory(100, ("tom",)) == "One two"
    assert transcript.memory(100, ("gm",)) == "One two three. "


def test_only_the_last_tellings_are_kept() -> None:  # G3
    transcript = told(*"abcde", most=3)
    assert [seen.telling for seen in transcript.tellings()] == ["t2", "t3", "t4"]
    assert len(transcript._by_id) == 3


def test_a_recording_is_taken_in_within_the_same_bound() -> None:  # G3
    transcript = Transcript(3)
    for n in range(10):
        told_line: dict[str, Any] = {
            "kind": "~told",
            "telling": f"t{n}",
            "t": 1.0,
            "text": f"Text {n}.",
            "to": ["gm"],
        }
        transcript.restore(told_line)
    assert transcript.text("gm") == "Text 7.\n\nText 8.\n\nText 9."
    assert transcript.text("mira") == ""
    assert len(transcript._by_id) == 3
    transcript.restore({"kind": "~told", "telling": "t10", "t": 2.0, "text": "For all."})
    assert transcript.text("mira") == "For all."
    assert all(seen.ended for seen in transcript.tellings())


def test_a_telling_cut_off_by_a_crash_is_remembered_as_far_as_it_was_recorded() -> None:  # G7
    transcript = Transcript()
    transcript.restore({"kind": "~telling", "telling": "t1", "t": 1.0, "to": ["mira"]})
    for text in ("The blade ", "sweeps "):
        transcript.restore({"kind": "~text", "telling": "t1", "t": 1.5, "text": text})
    assert transcript.text("mira") == "The blade sweeps "
    assert transcript.text("gm") == ""


def test_delivered_for_nobody_by_name_holds_for_all() -> None:  # G7
    transcript = Transcript()
    transcript.restore({"kind": "~told", "telling": "t1", "t": 1.0, "text": "The blade sweeps."})
    transcript.delivered("t1", "", 9)
    assert transcript.text() == transcript.text("mira") == "The blade"
    transcript.delivered("t1", "gm", 17)
    assert transcript.text("gm") == "The blade sweeps."
    assert transcript.memory(100) == "The blade"


def test_a_version_that_is_undone_is_not_known_to_the_next() -> None:  # G7
    transcript = Transcript()
    first = {"kind": "~told", "t": 1.0, "status": "done"}
    transcript.restore({**first, "telling": "t3", "text": "One.", "outcomes": [3]})
    for number in (5, 6):
        again = {"telling": f"t{number}", "outcomes": [number], "retells": "t3"}
        transcript.restore({**first, **again, "text": f"Version {number}."})
    assert transcript.versions("t3") == ("One.", "Version 5.", "Version 6.")
    transcript.rewound(lambda number: number != 5)
    assert transcript.versions("t3") == ("One.", "Version 6.")
    transcript.rewound(lambda number: True)
    assert transcript.versions("t3") == ("One.", "Version 5.", "Version 6.")
