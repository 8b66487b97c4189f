"""The parser with its fast paths compiled, where that was asked for when Foretell was installed.

``FORETELL_COMPILE=1 pip install .`` builds ``_partial_core.c``, which reads what is regular as
``partial_fast.py`` does and leaves all else to the same states; nothing else depends on it.
"""

from __future__ import annotations

from .partial_machine import (
    AFTER_ITEM,
    AFTER_MEMBER,
    COLON,
    FIRST_IN_LIST,
    FIRST_NAME,
    IN_NAME,
    ITEM,
    KEY,
    SCALAR,
    STRING,
    VALUE,
)
from .partial_parser import PartialParser
from .partial_patches import Patch

__all__ = ["fastest"]

STATES = (
    *(STRING, IN_NAME, COLON, VALUE, ITEM, KEY, SCALAR),
    *(FIRST_NAME, FIRST_IN_LIST, AFTER_MEMBER, AFTER_ITEM),
)


def fastest(parser: type[PartialParser]) -> type[PartialParser]:
    """``parser`` in C, if that was built here; else itself."""
    try:
        from ._partial_core import derive
    except ImportError:
        return parser
    compiled = derive(parser, Patch, STATES)
    compiled.__doc__, compiled.core = parser.__doc__, "C"
    return compiled
