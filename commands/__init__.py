"""The commands: their words and options. What one does is imported when it is run."""

from . import nights, logs, ahead, benches, servers  # noqa: I001  # in the order of --help
from .options import COMMANDS

__all__ = ["COMMANDS", "ahead", "benches", "logs", "nights", "servers"]
