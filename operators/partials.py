"""JSON read as it streams: what is usable now, what was added, and what will not change."""

from __future__ import annotations

from .partial_parser import PartialParser
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
