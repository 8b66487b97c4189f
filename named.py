"""What ``MODULE:NAME`` names: a function or a class of the user's own."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module
from typing import Any

from .errors import ConfigError, ForetellError

__all__ = ["named", "told"]


def named(option: str, path: str, *, here: bool = False) -> Any:
    """What a dotted path names; ``module:Class.method`` will do, too.

    :param option: where it was said, for the message.
    :param here: the working folder's modules are known, too.
    :raises ConfigError: if there is none, or its module cannot be imported.
    """
    module, _, name = path.partition(":")
    hint = "name it as MODULE:NAME"
    if not module.strip(".") or module.startswith(".") or not name:
        raise ConfigError(f"{option} {path}: {hint}")
    if here and (folder := os.getcwd()) not in sys.path:
        sys.path.append(folder)  # last, so that it hides nothing
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{option} {path}: {error}; {hint}") from None
    except (Exception, SystemExit) as error:
        why = told(error, __file__)
        raise ConfigError(f"{option} {path}: its module cannot be imported: {why}") from error
    try:
        for each in name.split("."):
            found = getattr(found, each)
    except AttributeError as error:
        raise ConfigError(f"{option} {path}: {error}; {hint}") from None
    return found


def told(error: BaseException, own: str) -> str:
    """An error of the user's code in one line, with where it was raised.

    :param own: the file that has called that code; it is not where the fault is.
    """
    said = " ".join(str(error).split())
    if isinstance(error, ForetellError | SyntaxError):  # these say it themselves
        return said
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f" ({os.path.basename(last.filename)}, line {last.lineno})"
    return f"{type(error).__name__}: {said}{where if last.filename != own else ''}"
