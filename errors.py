"""The errors a user of Foretell may meet. Each says in one line what is wrong and what to do."""

from __future__ import annotations

__all__ = ["ConfigError", "ForetellError", "PromptsError", "StateError", "TellingError"]


class ForetellError(Exception):
    """Base of all errors Foretell raises on purpose."""


class StateError(ForetellError):
    """The game handed over a state (or another input) that cannot be used."""


class ConfigError(ForetellError):
    """A setting is missing, misspelt, or out of range."""


class PromptsError(ForetellError):
    """Prompts of a game's own raised, or gave something that is no prompt."""

    kind = "prompts"


class TellingError(ForetellError):
    """A telling could not be completed.

    ``kind`` is a stable word (``deadline``, ``superseded``, or the kind of the model's error);
    ``fallback`` is plain text that is true of what happened and can be shown in its place.
    """

    def __init__(self, message: str, *, kind: str, fallback: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.fallback = fallback
