"""JSON read as it streams: what is usable now, what was added, and what will not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import partial_parser
from .partial_compiled import fastest
from .partial_patches import (
    MISSING,
    Final,
    Missing,
    Note,
    Partial,
    Patch,
    PatchError,
    Path,
    Progress,
    apply,
)

if TYPE_CHECKING:
    from .partial_parser import PartialParser
else:
    PartialParser = fastest(partial_parser.PartialParser)

__all__ = [
    "MISSING",
    "Final",
    "Missing",
    "Note",
    "Partial",
    "PartialParser",
    "Patch",
    "PatchError",
    "Path",
    "Progress",
    "apply",
]
