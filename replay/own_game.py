"""A game of the user's own, named on the command line: what is wrong with it is said as such."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..config import Settings
from ..errors import ConfigError
from ..game import Game
from ..named import named, told

__all__ = ["OwnGameError", "imported"]


class OwnGameError(ConfigError):
    """What ``--game`` names gives no game."""


def imported(name: str) -> Callable[[Settings], Game[Any]]:
    """The function that ``MODULE:FUNCTION`` names; called, it raises the same where it fails.

    :raises OwnGameError: if there is none, or its module cannot be imported.
    """
    try:
        found = named("--game", name, here=True)
    except ConfigError as error:
        raise OwnGameError(str(error)) from error
    if not callable(found):
        raise OwnGameError(f"--game {name}: is no function that takes the settings")

    def make(settings: Settings) -> Game[Any]:
        try:
            game = found(settings)
        except Exception as error:
            raise OwnGameError(
                f"--game {name}: it makes no game: {told(error, __file__)}"
            ) from error
        if not isinstance(game, Game):
            kind = type(game).__name__
            raise OwnGameError(f"--game {name}: it must return a foretell.Game, not {kind}")
        return game

    return make
