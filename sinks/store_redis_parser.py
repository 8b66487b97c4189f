"""What Redis answers, read within bounds: a server that never ends must not hold up the loop."""

from __future__ import annotations

from typing import Any

__all__ = ["bounded_parser"]

MOST_IN_LINES = 64 * 1024
LINE, PUSH = 32, 2048
"""An answer may have so many bytes in lines, each of which counts for so many more, and what the
server says unasked for yet more: one such is read within the other."""


def bounded_parser(most: int) -> type[Any]:
    """The client's own parser, but that an answer ends somewhere.

    The client reads what has arrived without a pause, so no time limit ends it: some hundred
    thousand small values are read for half a second, and an array of them can be of any length.
    What we ask for has a thousand lines at most. Texts are bounded as well.

    :param most: bytes of texts in one answer.
    :return: its class; reading raises ``InvalidResponse`` for more than was asked for.
    :raises ImportError: without the client.
    """
    from redis._parsers.resp3 import _AsyncRESP3Parser
    from redis.exceptions import InvalidResponse

    class BoundedParser(_AsyncRESP3Parser):
        _lines_left = MOST_IN_LINES
        _texts_left = most

        async def read_response(self, *args: Any, **kwargs: Any) -> Any:
            self._lines_left, self._texts_left = MOST_IN_LINES, most
            return await super().read_response(*args, **kwargs)

        async def _readline(self) -> bytes:
            line = await super()._readline()
            self._lines_left -= (PUSH if line[:1] == b">" else LINE) + len(line)
            if self._lines_left < 0:
                raise InvalidResponse("an answer has more lines than was asked for")
            return line

        async def _read(self, length: int) -> bytes:
            self._texts_left -= length
            if self._texts_left < 0:
                raise InvalidResponse("an answer has more bytes than was asked for")
            return await super()._read(length)

    return BoundedParser
