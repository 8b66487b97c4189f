"""What a simulated world has recorded: whole, and the same when it is replayed (G9)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..config import Settings
from ..errors import ForetellError
from ..game import Game
from ..replay.verify import verify
from ..streams.log_validate import validate
from .broken import Broken
from .stamps import stamped_prompts

__all__ = ["check_log"]


def check_log(path: Path) -> None:
    """Hold a session's log to what a recording must be, once the session is over.

    :raises Broken: for a line that is wrong, and for the first that a replay makes otherwise.
    """
    for problem in validate(path).errors:
        raise Broken("G9", f"its log is no good: {problem.reason} (line {problem.line})")
    try:
        difference = verify(path, _game).difference
    except ForetellError as error:
        raise Broken("G9", f"its log cannot be replayed: {error}") from error
    if difference is not None:
        raise Broken("G9", f"replayed, its log differs: {difference}")


def _game(settings: Settings) -> Game[Any]:
    return Game(settings, model=_Nobody(), prompts=stamped_prompts)


class _Nobody:
    """The model of an exact replay: nobody is asked."""

    def stream(self, request: Any) -> Any:
        raise AssertionError("an exact replay asks no model")

    async def aclose(self) -> None:
        """Nothing to close."""
