"""What a replay is made of: a log's inputs, and a model for its streams."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

from ..config import LIVE, Settings
from ..errors import ConfigError
from ..game import Game, narrator
from ..streams.log_inputs import LogInputs
from ..streams.models import Model, ModelEvent, Request
from ..streams.narrator.wire import model_known
from ..streams.recorded_model import RecordedModel, Recording, Wish
from .lockstep import NotRecorded
from .openings import another_version, guests_of, no_game

__all__ = ["OF_A_MODEL", "Make", "Source", "opened", "stand_in"]

log = logging.getLogger("foretell")

OF_A_MODEL = ("base_url", "main_model", "small_model", "narrator_profile")
"""Settings that name a model; who gives one wants that one asked."""

Make = Callable[[Settings], Game[Any]]
"""Makes a game from settings."""


@dataclass(frozen=True, slots=True)
class Source:
    """What to play, under which settings, and who speaks.

    ``model_from`` is ``recording``, ``narrator`` or ``server``. ``fixed`` are the settings that
    were given, and hold throughout: what the recorded game changed of them does not count.
    """

    inputs: LogInputs
    settings: Settings
    model_from: str
    recording: Recording | None = None
    fixed: frozenset[str] = frozenset()

    @property
    def unchanged(self) -> bool:
        """Whether the whole recording is to speak, and each sitting is under its own settings."""
        openings = self.inputs.openings
        return (
            self.recording is not None
            and self.inputs.recorded
            and not (self.fixed or self.inputs.bounded)
            and all(each.get("settings") == openings[0].get("settings") for each in openings)
        )

    def wishes(self, fixed: Collection[str] = ()) -> list[Wish]:
        """What the recorded game asked for beside its inputs: to be asked for again.

        :param fixed: settings that this run has throughout.
        """
        if self.recording is None:
            return []
        fixed = self.fixed.union(fixed)
        asked = (_without(wish, fixed) for wish in self.recording.wishes)
        return [wish for wish in asked if wish is not None]

    def model(self, settings: Settings) -> Model | None:
        """A model for one run; ``None`` for the server that the settings name."""
        if self.model_from == "server":
            return None
        speaker = stand_in(settings)
        return speaker if self.recording is None else RecordedModel(self.recording, speaker)


def _without(wish: Wish, fixed: Collection[str]) -> Wish | None:
    """What is left of a wish where some settings are given."""
    if wish.kind == "~intensity" and "intensity" in fixed:
        return None
    if not isinstance(wish.value, Mapping):
        return wish
    left = {name: value for name, value in wish.value.items() if name not in fixed}
    return wish._replace(value=left) if left else None


def stand_in(settings: Settings) -> Model:
    """The narrator in the place of whatever models the settings name."""
    return _StandIn(narrator(settings), settings.narrator_profile)


class _StandIn:
    """The narrator in the place of a model whose name it does not answer to."""

    def __init__(self, speaker: Model, profile: str) -> None:
        self._speaker = speaker
        self._name = f"narrator-{profile}"

    def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        if not model_known(request.model):
            request = replace(request, model=self._name)
        return self._speaker.stream(request)

    async def aclose(self) -> None:
        await self._speaker.aclose()


@contextmanager
def opened(
    path: str | PathLike[str],
    settings: Settings | Mapping[str, Any],
    *,
    model_from: str | None = None,
    upto: float = math.inf,
    game: Make | None = None,
) -> Generator[Source, None, None]:
    """Look through a log, and decide who speaks.

    With a ``base_url`` that is the server. Else it is what ``model_from`` says; by default the
    recording, where the log is one and no model is named, else the narrator.

    :param settings: all of them; or, as a mapping, those that are given, on top of the recorded
        ones where the recording speaks.
    :param upto: seconds of the session; it ends there.
    :param game: makes the game, where the recording was made with prompts, rules or a narration of
        its own; without it, the narrator speaks.
    :raises LogError: for a log that cannot be read.
    :raises NotRecorded: if the recording shall speak, and there is none, or no game for it.
    :raises ConfigError: for settings that cannot be used.
    """
    given = {} if isinstance(settings, Settings) else {**settings}
    inputs = LogInputs(path, upto=upto)
    own = Settings.load(settings) if isinstance(settings, Settings) else None
    if (own.base_url if own else given.get("base_url")) is not None:
        if model_from is not None:
            raise ConfigError(f"--model-from {model_from} goes without --base-url: choose one")
        yield Source(inputs, own or Settings.load(given), "server")
        return
    if model_from is None:
        model_from = _usual(inputs, given, game)
    if model_from == "narrator":
        yield Source(inputs, own or Settings.load(given), model_from)
        return
    guests = guests_of(inputs.openings)
    if guests and game is None:
        raise NotRecorded(no_game(path, guests))
    if not inputs.openings:
        raise NotRecorded(f"{inputs.path}: holds no model streams: use --model-from narrator")
    inputs = LogInputs(path, upto=upto, sealed=True)
    if other := another_version(inputs.openings):
        log.warning("%s: %s; requests that changed since are told by the narrator", path, other)
    with Recording(path, inputs.records) as recording:
        settings = own or _recorded(inputs, given)
        yield Source(inputs, settings, model_from, recording, frozenset(LIVE if own else given))


def _usual(inputs: LogInputs, given: Mapping[str, Any], game: Make | None) -> str:
    if not inputs.recorded or any(name in given for name in OF_A_MODEL):
        return "narrator"
    if (guests := guests_of(inputs.openings)) and game is None:
        log.warning("%s; the narrator speaks", no_game(inputs.path, guests))
        return "narrator"
    return "recording"


def _recorded(inputs: LogInputs, given: Mapping[str, Any]) -> Settings:
    """The settings of the recording's first sitting, with what is given in their place."""
    recorded = [dict(opening.get("settings") or {}) for opening in inputs.openings]
    if any(each != recorded[0] for each in recorded):
        log.warning(
            "%s: was recorded under several settings; it is played under the first", inputs.path
        )
    try:
        return Settings.load({**recorded[0], **given})
    except ConfigError as error:
        Settings.load(given)  # what is given is told as such
        raise NotRecorded(
            f"{inputs.path}: the recorded {error}"
            f" ({another_version(inputs.openings) or 'the log was edited'}); "
            "use --model-from narrator"
        ) from None
