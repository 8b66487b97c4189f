"""The partials of one typed value: what grew, what is complete, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast, get_args

from .partial_reading import Expect
from .partials import MISSING, Final, Partial, PartialParser, Patch, Path
from .sentences import Sentences
from .typed_errors import FieldError, said
from .typed_nodes import Node, Text
from .typed_rest import grows_into, rest_of
from .typed_shape import Form, leads_somewhere, text_at
from .typed_tree import Tree
from .typed_views import PartialOf, Said, moment, view

__all__ = ["Element", "Emit", "FieldDone", "TypedPartials", "Unfinished"]

M = TypeVar("M")

Emit = Literal["piece", "patch", "field", "element", "sentence"]
"""What is emitted while a value grows; see :func:`partials`."""


class FieldDone(NamedTuple):
    """A field of an object is complete. With ``errors``, ``value`` is what came instead.

    If the error is that some of it could not be read (``type`` is ``"lost"``), and it is valid
    without, ``value`` is what is left of it.
    """

    path: Path
    value: Any
    errors: tuple[FieldError, ...]


class Element(NamedTuple):
    """An element of a list is complete. With ``errors``, ``value`` is what came instead.

    If the error is that some of it could not be read (``type`` is ``"lost"``), and it is valid
    without, ``value`` is what is left of it.
    """

    path: Path
    value: Any
    errors: tuple[FieldError, ...]


@dataclass(frozen=True, slots=True)
class Unfinished(Generic[M]):
    """There is no valid whole: all that is usable, and why there is no more.

    ``reason`` is one line; ``errors`` say which fields are not valid, if that is why.
    """

    partial: PartialOf[M]
    reason: str
    errors: tuple[FieldError, ...] = ()


class TypedPartials(Generic[M]):
    """The partials of one value, from the text of a stream or from patches, without any I/O.

    Each call returns what there is to emit; see :func:`partials` for ``emit``, ``at`` and
    ``language``. The last emission is the validated instance, as soon as its JSON is complete, or
    :class:`Unfinished`; after it, nothing is.

    :param model: a pydantic model, or any type that pydantic can validate, such as ``list[Plan]``.
    :raises ValueError: for an ``emit`` there is not, an ``at`` without such a field or of what
        comes whole, or a language that is no text.
    :raises PydanticUserError: for a type that pydantic cannot validate.
    """

    def __init__(
        self,
        model: type[M],
        emit: Emit = "piece",
        *,
        at: str | None = None,
        language: str = "en",
        parser: PartialParser | None = None,
    ) -> None:
        if emit not in get_args(Emit):
            raise ValueError(f"emit is one of {', '.join(get_args(Emit))}, not {emit!r}")
        if at is not None and emit in {"piece", "patch"}:
            raise ValueError(f"at is for fields, elements and sentences, not for {emit!r}")
        if not isinstance(language, str):
            raise ValueError(f"language is an ISO 639 code, not {language!r}")  # noqa: TRY004
        self._emit = emit
        self._at = at.split(".") if at is not None else None
        self._language = language
        self._parser = parser
        self._own = parser is None
        self._tree = Tree(model, self._on_text, self._on_closed)
        self._expect = _expected(self._tree.shape.form)
        within = ("*",) if emit == "element" else ()
        if self._at is not None and not leads_somewhere(self._tree.shape, (*self._at, *within)):
            raise ValueError(f"the model has nothing at {at!r}")
        if self._at is not None and emit == "sentence" and not text_at(self._tree.shape, self._at):
            raise ValueError(f"the model has no text at {at!r}")
        self._texts: dict[Node, Sentences] = {}
        self._out: list[Any] = []
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the last emission is out."""
        return self._ended

    @property
    def partial(self) -> PartialOf[M]:
        """All there is now."""
        root = self._tree.root
        if root is None:
            return PartialOf(None, None, self._said)
        mark = None if root.checked else root.mark()
        return cast("PartialOf[M]", moment(root, mark, self._said))

    def feed(self, text: str | bytes) -> list[Any]:
        """More of the stream's text; what it brought."""
        parser = self._own_parser
        patches = parser.feed(text)
        self._tree.lost = parser.lost
        return self.take(patches)

    def take(self, patches: Iterable[Patch]) -> list[Any]:
        """More patches, in their order; what they brought.

        :raises ValueError: for a patch that does not fit those before it.
        """
        changed = False
        for patch in patches:
            if self._ended or self._complete:
                break
            self._tree.apply(patch)
            changed = True
            if self._emit == "patch":
                self._out.append(self.partial)
        if changed and self._emit == "piece":
            self._out.append(self.partial)
        if self._complete and not (self._ended or self._waits):
            self._close(self._outcome())
        return self._handed_out()

    def finish(
        self, result: Final | Partial | None = None, *, reason: str | None = None
    ) -> list[Any]:
        """No more comes; what is left to emit.

        :param result: what the parser that made the patches found at the end; a whole that it
            could not give as patches is made up for.
        :param reason: why there is no more, if not for what the parser says.
        """
        out: list[Any] = []
        fed = self._parser is not None or self._tree.root is None  # not with patches
        if result is None and fed and not self._ended:
            parser = self._own_parser
            result = self._finished(parser)
            self._tree.lost = parser.lost
            # Who knows of no end has not seen the whole end: only what lies in it is taken.
            known = (patch for patch in result.patches if reason is None or not _ends(patch))
            out = self.take(known)
        if self._ended:
            return out
        if isinstance(result, Final) and reason is None:
            return out + self._whole(result.value)
        if self._complete and reason is None:
            return out + self._last(self._outcome())
        cut = result.reason if isinstance(result, Partial) else "cut off before its end"
        return out + self._last(Unfinished(self.partial, reason or cut))

    async def over(
        self, texts: AsyncIterable[str], *, limit: float | None = None
    ) -> AsyncGenerator[Any, None]:
        """Read a stream of text deltas to its end, and yield what there is to emit.

        An error of the stream is raised after what was usable. The stream is closed at the end,
        at the limit, and when the reader leaves.

        :param limit: seconds, on the loop's clock, after which what has come is the result.
        :raises ValueError: for a limit that is not above 0, before anything is read.
        """
        check_limit(limit)
        loop = asyncio.get_running_loop()
        until = None if limit is None else loop.time() + limit
        async with aclosing(_generator(texts)) as stream:
            while True:
                try:
                    async with asyncio.timeout_at(until) as timer:
                        text = await anext(stream)
                except StopAsyncIteration:
                    break
                except Exception as error:
                    over = isinstance(error, TimeoutError) and timer.expired()
                    for emission in self.finish(reason=over_limit(limit) if over else said(error)):
                        yield emission
                    if over:
                        return
                    raise
                if until is not None and loop.time() > until:  # where a source never waits
                    for emission in self.finish(reason=over_limit(limit)):
                        yield emission
                    return
                for emission in self.feed(text):
                    yield emission
        for emission in self.finish():
            yield emission

    @property
    def _waits(self) -> bool:
        """Whether what comes after the value tells if it is one."""
        return self._parser is not None and (self._parser.strict or self._parser.doubtful)

    @property
    def _said(self) -> Said:
        return self._tree.errors, self._tree.errors.mark()

    def _finished(self, parser: PartialParser) -> Final | Partial:
        """What the parser found; a type that is an object or null, say, may be no object."""
        result = parser.finish()
        if result.value is MISSING and self._expect != "any" and self._own:
            reader = PartialParser(big_ints=True)
            reader.feed(parser.raw_text)
            other = reader.finish()
            try:
                self._tree.shape.validate(other.value if isinstance(other, Final) else MISSING)
            except Exception:
                return result
            self._parser = reader
            return other
        return result

    @property
    def _own_parser(self) -> PartialParser:
        if self._parser is None:
            self._parser = PartialParser(expect=self._expect, big_ints=True)
        return self._parser

    def _whole(self, value: Any) -> list[Any]:
        root = self._tree.root
        if self._complete:
            return self._last(self._outcome())
        if root is None or grows_into(root.raw, value):
            rest = [Patch((), "set", value), Patch((), "done", None)] if root is None else None
            return self.take(rest or rest_of((), root.raw, value))  # type: ignore[union-attr]
        try:
            return self._last(self._tree.shape.validate(value))
        except Exception as error:
            return self._last(Unfinished(self.partial, said(error)))

    @property
    def _complete(self) -> bool:
        return self._tree.root is not None and self._tree.root.checked

    def _outcome(self) -> M | Unfinished[M]:
        """What the complete value is."""
        partial, errors = self.partial, self._tree.errors.now()
        if not errors or partial.final is not None:
            flaw = self._parser.flaw if self._parser is not None else None
            if flaw is not None:
                return Unfinished(partial, flaw)
            return cast("M", self._tree.root and self._tree.root.value)
        where = ".".join(map(str, errors[0].path)) or "the whole"
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return Unfinished(partial, f"not valid: {where}: {errors[0].message}{more}", errors)

    def _last(self, emission: Any) -> list[Any]:
        self._close(emission)
        return self._handed_out()

    def _close(self, emission: Any) -> None:
        for sentences in self._texts.values():
            self._out += sentences.finish()
        self._texts.clear()
        self._out.append(emission)
        self._ended = True

    def _handed_out(self) -> list[Any]:
        out, self._out = self._out, []
        return out

    def _on_text(self, node: Text, text: str) -> None:
        if self._emit == "sentence" and node.shape.form.text and self._wanted(node, node.path):
            if node not in self._texts:
                self._texts[node] = Sentences(self._language, node.path)
            self._out += self._texts[node].feed(text)

    def _on_closed(self, node: Node) -> None:
        if self._emit == "sentence" and node in self._texts:
            self._out += self._texts.pop(node).finish()
        elif self._emit in {"field", "element"} and node.parent is not None:
            kind, of = (Element, "element") if node.parent.is_list else (FieldDone, "field")
            path = node.path
            if of == self._emit and self._wanted(node, path[:-1] if of == "element" else path):
                value = view(node, None, self._said)
                self._out.append(kind(path, value, self._tree.errors.now(path)))

    def _wanted(self, node: Node, path: Path) -> bool:
        if node.hidden or self._at is None:
            return not node.hidden
        pairs = zip(self._at, path, strict=False)
        return len(path) == len(self._at) and all(a in {"*", str(b)} for a, b in pairs)


def check_limit(limit: object) -> None:
    if limit is None:
        return
    if type(limit) not in (int, float) or not limit > 0:  # type: ignore[operator]
        raise ValueError(f"limit is a number of seconds above 0, not {limit!r}")


def _ends(patch: Patch) -> bool:
    """Whether the whole value is complete with it."""
    return not patch.path and (patch.op == "done" or not isinstance(patch.value, (str, dict, list)))


def over_limit(limit: float | None) -> str:
    return f"not complete within {limit:g} seconds"


async def _generator(texts: AsyncIterable[str]) -> AsyncGenerator[str, None]:
    """``texts`` as something that can be closed."""
    try:
        async for text in texts:
            yield text
    finally:
        close = getattr(texts, "aclose", None)
        if close is not None:
            await close()


def _expected(form: Form) -> Expect:
    """What JSON the model is made from, as far as its type says so plainly."""
    if form.of_object and not form.of_array:
        return "object"
    return "array" if form.of_array and not form.of_object else "any"
