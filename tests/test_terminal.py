from __future__ import annotations

import asyncio
import io
import unicodedata
from itertools import pairwise
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import foretell
from foretell.sinks.terminal import Terminal, plain, print_narrative, safe
from foretell.streams.api_errors import explain
from foretell.streams.models import ModelError


def console(width: int = 40) -> Console:
    return Console(file=io.StringIO(), width=width, highlight=False)


def printed(where: Console) -> str:
    assert isinstance(where.file, io.StringIO)
    return where.file.getvalue()


def ended(text: str, status: str = "done", error: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(status=status, text=text, error=error)


def tell(*chunks: str, width: int = 40, end: SimpleNamespace | None = None) -> str:
    where = console(width)
    terminal = Terminal(where)
    for chunk in chunks:
        terminal.on_event(SimpleNamespace(text=chunk))
    terminal.on_event(end or ended("".join(chunks)))
    return printed(where)


@given(st.text())
def test_nothing_a_model_writes_can_command_the_terminal(text: str) -> None:
    shown = plain(text)
    kinds = {unicodedata.category(each) for each in shown if each != "\n"}
    assert not kinds & {"Cc", "Cs"}
    shown.encode()
    assert not {"\u202e", "\u2066", "\u200f", "\u2028"} & set(shown)


def test_what_a_server_says_of_an_error_commands_no_terminal_and_shows_no_key() -> None:
    said = ModelError("go\x1b[2J away\x9b31m,\nsk-se\x07cret-key and my\x00key\u202e")
    error = explain(said, "http://localhost", begun=False, secrets=["mykey"])
    assert str(error) == "go[2J away31m, *** and ***"


def test_an_escape_sequence_is_left_as_harmless_letters() -> None:
    assert plain("a\x1b[2Jb\x07\x9b31m\tc\r\n") == "a[2Jb31m c\n"


def test_ordinary_text_of_any_language_stays_as_it_is() -> None:
    text = "Mira’s blade — “läuft”, 剣が光る, שלום 🗡"
    assert plain(text) == text


def test_brackets_are_brackets_and_not_markup() -> None:
    where = console()
    where.print(safe("[bold]9[/bold] [/] [link=http://x]damage"))
    assert printed(where) == "[bold]9[/bold] [/] [link=http://x]damage\n"


def test_words_are_wrapped_whole_while_they_stream() -> None:
    assert tell("The long", "sword turns as", "ide.", width=14) == "The longsword\nturns aside.\n\n"


def test_what_has_no_spaces_streams_and_is_wrapped_too() -> None:
    where = console(12)
    terminal = Terminal(where)
    terminal.on_event(SimpleNamespace(text="米拉举起长剑，"))
    assert printed(where) == "米拉举起长"
    terminal.on_event(SimpleNamespace(text="剑光「划破」"))
    assert printed(where) == "米拉举起长\n剑，剑光「划"
    terminal.on_event(SimpleNamespace(text="Goblin 고블린이 쓰러진다"))
    terminal.on_event(ended("x"))
    lines = ["米拉举起长", "剑，剑光「划", "破」Goblin", "고블린이", "쓰러진다"]
    assert printed(where).split("\n") == [*lines, "", ""]


def test_lines_of_the_text_stay_lines() -> None:
    assert tell("One\nt", "wo\n", "three") == "One\ntwo\nthree\n\n"


@given(st.text(alphabet="ab 剣\n-", max_size=60), st.lists(st.integers(0, 60)), st.integers(4, 30))
def test_any_chunking_prints_the_same(text: str, cuts: list[int], width: int) -> None:
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    chunks = [text[a:b] for a, b in pairwise(edges)]
    assert tell(*chunks, width=width) == tell(text, width=width)


@given(st.text(alphabet="ab -", max_size=60), st.integers(4, 30))
def test_no_line_is_too_wide_unless_a_word_is(text: str, width: int) -> None:
    for line in tell(text, width=width).splitlines():
        assert len(line) <= max(width, *map(len, text.split(" ")))


def test_a_telling_cut_short_ends_in_a_dash() -> None:
    assert tell("The axe", end=ended("The axe", "superseded")) == "The axe —\n\n"


def test_one_that_never_began_prints_nothing() -> None:
    assert tell(end=ended("", "superseded")) == ""


def test_a_failure_says_its_reason_after_its_fallback() -> None:
    end = ended("Mira: hit.", "failed", "the [server]\x1b is down")
    assert tell("Mira: hit.", end=end) == "Mira: hit.\n(the [server] is down)\n\n"


async def test_a_sessions_narrative_is_printed_until_it_is_no_longer_wanted() -> None:
    where = console(60)
    async with foretell.Game() as game:
        session = await game.session("table")
        watching = print_narrative(session, where)
        first = await session.outcome("mira", "longsword", "hit", target="wolf", damage=4)
        await asyncio.sleep(0)
        shown = printed(where)
        assert shown.replace("\n", " ").split() == first.text.split()
        assert all(len(line) <= 60 for line in shown.splitlines())
        watching.dispose()
        await session.outcome("mira", "longsword", "miss", target="wolf")
        assert printed(where) == shown


async def test_only_what_a_viewer_may_see_is_printed_for_it() -> None:
    mira, orin = console(), console()
    async with foretell.Game() as game:
        session = await game.session("table")
        print_narrative(session, mira, "mira")
        print_narrative(session, orin, "orin")
        await session.outcome("mira", "search", "success", to=["mira"])
        await asyncio.sleep(0)
    assert printed(mira)
    assert not printed(orin)
