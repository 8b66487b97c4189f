"""The content of a recording: what a source answered then, each as long after it was asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

from ..errors import ForetellError
from ..streams.content import Ask
from ..streams.log_inputs import LogInputs
from ..streams.log_own import own_problem
from ..streams.log_read import read

__all__ = ["RecordedContent", "recorded_content"]


class _Answer(NamedTuple):
    """What a call came to; without ``seconds`` to nothing, ever."""

    seconds: float | None
    value: Any
    why: Any


class RecordedContent:
    """A source that answers out of a recording.

    What was asked for more than once has its answers in their order, and then the last of them. A
    call that was not answered is not answered; of what was not asked for there is nothing.

    :param answers: by key.
    """

    def __init__(self, answers: Mapping[str, list[_Answer]]) -> None:
        self._answers = {key: deque(each) for key, each in answers.items()}

    async def find(self, ask: Ask) -> Any:
        """See :class:`~foretell.streams.content.ContentSource`.

        :raises ForetellError: where the source had failed.
        """
        answers = self._answers.get(ask.key)
        if answers is None:
            return None
        answer = answers.popleft() if len(answers) > 1 else answers[0]
        if answer.seconds is None:
            await asyncio.get_running_loop().create_future()
        elif answer.seconds > 0:
            await asyncio.sleep(answer.seconds)
        if answer.why is not None:
            raise ForetellError(str(answer.why))
        return answer.value


def recorded_content(inputs: LogInputs) -> RecordedContent | None:
    """The content of a recording; ``None`` if it had no source of any."""
    if not any(opening.get("content") for opening in inputs.openings):
        return None
    answers: dict[str, dict[tuple[int, int], _Answer]] = {}
    sitting = 0
    for record in islice(read(inputs.path), inputs.records):
        data = record.data
        sitting += record.kind == "~opened"
        what = data.get("what")
        if record.kind != "~content" or what in (None, "changed") or own_problem(data) is not None:
            continue
        calls = answers.setdefault(data["name"], {})
        call = sitting, data.get("call") or 0
        if what == "closed":  # it may have given nothing
            calls.setdefault(call, _Answer(None, None, None))
        else:
            seconds = max(0.0, round(record.t - (data.get("began") or 0.0), 6))
            calls[call] = _Answer(seconds, data.get("found"), data.get("why"))
    in_order = {
        key: [calls[call] for call in sorted(calls)]  # as they were made, and not as they ended
        for key, calls in answers.items()
    }
    return RecordedContent(in_order)
