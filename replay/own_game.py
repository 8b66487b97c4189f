"""A game of the user's own, named on the command line: what is wrong with it is said as such."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable
from os.path import basename
from typing import Any

from ..config import Settings
from ..errors import ConfigError, ForetellError
from ..game import Game

__all__ = ["OwnGameError", "imported"]


class OwnGameError(ConfigError):
    """What ``--game`` names gives no game."""


def imported(name: str) -> Callable[[Settings], Game[Any]]:
    """The function that ``MODULE:FUNCTION`` names; called, it raises the same where it fails.

    :raises OwnGameError: if there is none, or its module cannot be imported.
    """
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise OwnGameError(f"--game {name}: {error}; name it as MODULE:FUNCTION") from None
    except Exception as error:
        raise OwnGameError(f"--game {name}: its module cannot be imported: {_of(error)}") from error
    if not callable(found):
        raise OwnGameError(f"--game {name}: is no function that takes the settings")

    def make(settings: Settings) -> Game[Any]:
        try:
            game = found(settings)
        except Exception as error:
            raise OwnGameError(f"--game {name}: it makes no game: {_of(error)}") from error
        if not isinstance(game, Game):
            kind = type(game).__name__
            raise OwnGameError(f"--game {name}: it must return a foretell.Game, not {kind}")
        return game

    return make


def _of(error: Exception) -> str:
    """An error in one line, with where it was raised."""
    told = " ".join(str(error).split())
    if isinstance(error, ForetellError | SyntaxError):  # these say it themselves
        return told
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f" ({basename(last.filename)}, line {last.lineno})" if last.filename != __file__ else ""
    return f"{type(error).__name__}: {told}{where}"
