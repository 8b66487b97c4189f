"""Foretell: the story is ready before the dice land.

The names below are imported when they are first used, so that ``import foretell`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import Settings
    from .errors import ConfigError, ForetellError, StateError, TellingError
    from .game import Game
    from .measuring import collector
    from .operators.blocks import blocks, reading_blocks
    from .operators.classify import DEFAULT_RULES, Context, Rule, Scene
    from .operators.narration import Line, Narration
    from .operators.narrative import Ended, Narrative, Patched, Served, Started, Status
    from .operators.overlap import Overlap
    from .operators.partials import (
        MISSING,
        Final,
        Partial,
        PartialParser,
        Patch,
        PatchError,
        Progress,
        apply,
    )
    from .operators.plans.registry import Registry
    from .operators.plans.types import Plan, PlanBegun, PlanEnded, PlanStatus, Step, Stepped
    from .operators.predict import Intensity
    from .operators.preload import PRELOADS, Need, Preload
    from .operators.prompts import Account, DefaultPrompts, Prompt, Prompts
    from .operators.rules import Rules, SrdRules
    from .operators.sentences import Sentence, Sentences
    from .operators.typed import Element, FieldDone, TypedPartials, Unfinished, partials
    from .operators.typed_errors import FieldError
    from .operators.typed_views import PartialDict, PartialList, PartialOf
    from .prefetch import record_query
    from .session import Action, Session
    from .sinks.budget import Spent
    from .sinks.ledger import Price
    from .sinks.planning import Planning
    from .sinks.store_guard import Condition
    from .sinks.store_near import Near
    from .sinks.store_parts import Part
    from .sinks.telling import Telling
    from .sinks.variant_store import VariantStore
    from .streams.bridge import Full, Overrun, follow, from_async_iterable
    from .streams.content import Ask, ContentMapping, ContentSource
    from .streams.content_folder import JsonFolder
    from .streams.events import Result
    from .streams.models import Message, Model, ModelError, Request, Tool
    from .threaded import Background, background

__version__ = "0.1.0"

_HOME = {
    "config": ("Settings",),
    "errors": ("ConfigError", "ForetellError", "StateError", "TellingError"),
    "game": ("Game",),
    "measuring": ("collector",),
    "operators.blocks": ("blocks", "reading_blocks"),
    "operators.classify": ("DEFAULT_RULES", "Context", "Rule", "Scene"),
    "operators.narration": ("Line", "Narration"),
    "operators.narrative": ("Ended", "Narrative", "Patched", "Served", "Started", "Status"),
    "operators.overlap": ("Overlap",),
    "operators.partials": (
        "MISSING",
        "Final",
        "Partial",
        "PartialParser",
        "Patch",
        "PatchError",
        "Progress",
        "apply",
    ),
    "operators.plans.registry": ("Registry",),
    "operators.plans.types": ("Plan", "PlanBegun", "PlanEnded", "PlanStatus", "Step", "Stepped"),
    "operators.predict": ("Intensity",),
    "operators.preload": ("PRELOADS", "Need", "Preload"),
    "operators.prompts": ("Account", "DefaultPrompts", "Prompt", "Prompts"),
    "operators.rules": ("Rules", "SrdRules"),
    "operators.sentences": ("Sentence", "Sentences"),
    "operators.typed": ("Element", "FieldDone", "TypedPartials", "Unfinished", "partials"),
    "operators.typed_errors": ("FieldError",),
    "operators.typed_views": ("PartialDict", "PartialList", "PartialOf"),
    "prefetch": ("record_query",),
    "session": ("Action", "Session"),
    "sinks.budget": ("Spent",),
    "sinks.ledger": ("Price",),
    "sinks.planning": ("Planning",),
    "sinks.store_guard": ("Condition",),
    "sinks.store_near": ("Near",),
    "sinks.store_parts": ("Part",),
    "sinks.telling": ("Telling",),
    "sinks.variant_store": ("VariantStore",),
    "streams.bridge": ("Full", "Overrun", "follow", "from_async_iterable"),
    "streams.content": ("Ask", "ContentMapping", "ContentSource"),
    "streams.content_folder": ("JsonFolder",),
    "streams.events": ("Result",),
    "streams.models": ("Message", "Model", "ModelError", "Request", "Tool"),
    "threaded": ("Background", "background"),
}
_WHERE = {name: home for home, names in _HOME.items() for name in names}

__all__ = [
    "DEFAULT_RULES",
    "MISSING",
    "PRELOADS",
    "Account",
    "Action",
    "Ask",
    "Background",
    "Condition",
    "ConfigError",
    "ContentMapping",
    "ContentSource",
    "Context",
    "DefaultPrompts",
    "Element",
    "Ended",
    "FieldDone",
    "FieldError",
    "Final",
    "ForetellError",
    "Full",
    "Game",
    "Intensity",
    "JsonFolder",
    "Line",
    "Message",
    "Model",
    "ModelError",
    "Narration",
    "Narrative",
    "Near",
    "Need",
    "Overlap",
    "Overrun",
    "Part",
    "Partial",
    "PartialDict",
    "PartialList",
    "PartialOf",
    "PartialParser",
    "Patch",
    "PatchError",
    "Patched",
    "Plan",
    "PlanBegun",
    "PlanEnded",
    "PlanStatus",
    "Planning",
    "Preload",
    "Price",
    "Progress",
    "Prompt",
    "Prompts",
    "Registry",
    "Request",
    "Result",
    "Rule",
    "Rules",
    "Scene",
    "Sentence",
    "Sentences",
    "Served",
    "Session",
    "Settings",
    "Spent",
    "SrdRules",
    "Started",
    "StateError",
    "Status",
    "Step",
    "Stepped",
    "Telling",
    "TellingError",
    "Tool",
    "TypedPartials",
    "Unfinished",
    "VariantStore",
    "apply",
    "background",
    "blocks",
    "collector",
    "follow",
    "from_async_iterable",
    "partials",
    "reading_blocks",
    "record_query",
]


def __getattr__(name: str) -> Any:
    home = _WHERE.get(name)
    if home is None:
        raise AttributeError(f"module 'foretell' has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
