"""What must be true of the state for a variant to be served; see ``streams/conditions.py``."""

from __future__ import annotations

from ..streams.conditions import Condition, Test, holds, met_by

__all__ = ["Condition", "Test", "holds", "met_by"]
