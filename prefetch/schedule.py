"""``prefetch-warmup --schedule``: lines by which cron or systemd warms up; nothing is written."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence

from ..errors import ConfigError

__all__ = ["CALENDAR", "CRON", "cron", "systemd"]

CRON = "*/15 9-17 * * 1-5"
"""The document's: each quarter of an hour from 9 to 17, on working days."""

CALENDAR = "Mon..Fri 09..17:00/15"
"""The same for systemd."""

WHAT = "Foretell: fetch what will be wanted"
PLAIN = re.compile(r"[\w@+=:,./-]+", re.ASCII)


def command(options: Sequence[str]) -> list[str]:
    """A warm-up with these options, by the Python that runs now."""
    return [os.path.abspath(sys.executable), "-m", "foretell", "prefetch-warmup", *options]


def cron(options: Sequence[str], zone: str, folder: str, env: Mapping[str, str]) -> str:
    """The line for a crontab.

    :param zone: whose hours they are; with UTC, the default, the machine's.
    :param folder: in which it runs.
    :param env: the environment; a search path of Python's in it is kept.
    :raises ConfigError: for what no line can hold.
    """
    words = command(options)
    if path := env.get("PYTHONPATH"):
        words = ["env", f"PYTHONPATH={path}", *words]
    line = f"cd {shlex.quote(folder)} && {shlex.join(words)}"
    _check(line)
    first = "" if zone == "UTC" else f"CRON_TZ={zone}\n"
    return f"{first}{CRON}  {line.replace('%', chr(92) + '%')}\n"  # a bare % ends the line for cron


def systemd(
    options: Sequence[str], zone: str, folder: str, env: Mapping[str, str]
) -> dict[str, str]:
    """The two units, by the names of their files; the arguments are those of :func:`cron`."""
    words = " ".join(_quoted(word.replace("$", "$$")) for word in command(options))
    path = env.get("PYTHONPATH")
    lines = [
        "[Unit]", f"Description={WHAT}", "",
        "[Service]", "Type=oneshot", "TimeoutStartSec=600",
        f"WorkingDirectory={folder.replace('%', '%%')}",
        *([f"Environment={_quoted(f'PYTHONPATH={path}')}"] if path else []),
        f"ExecStart={words}", "Nice=10",
    ]  # fmt: skip
    for line in lines:
        _check(line)
    timer = [
        "[Unit]", f"Description={WHAT}, each quarter of an hour", "",
        "[Timer]", f"OnCalendar={CALENDAR}{'' if zone == 'UTC' else f' {zone}'}", "",
        "[Install]", "WantedBy=timers.target",
    ]  # fmt: skip
    return {
        "foretell-warmup.service": "\n".join([*lines, ""]),
        "foretell-warmup.timer": "\n".join([*timer, ""]),
    }


def _quoted(word: str) -> str:
    """A word as systemd reads it."""
    word = word.replace("%", "%%")
    if PLAIN.fullmatch(word.replace("%", "").replace("$", "")):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _check(line: str) -> None:
    if not line.isprintable() or line.endswith(("\\", " ")):
        raise ConfigError(f"no schedule can hold {line[-60:]!r}: choose plainer names")
