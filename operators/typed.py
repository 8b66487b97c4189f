"""Typed partials: a pydantic model's value, usable while its JSON streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, TypeVar, cast, get_args, get_origin, overload

from pydantic import BaseModel, RootModel, ValidationError
from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from .partial_reading import Expect
from .partials import Final, Partial, PartialParser, Patch, Path
from .sentences import Sentence, Sentences
from .typed_errors import FieldError
from .typed_shape import leads_somewhere
from .typed_tree import Node, Text, Tree
from .typed_views import PartialOf, Said, moment, view

__all__ = ["Element", "Emit", "FieldDone", "TypedPartials", "Unfinished", "partials"]

M = TypeVar("M")

Emit = Literal["piece", "patch", "field", "element", "sentence"]
"""What is emitted while a value grows; see :func:`partials`."""


class FieldDone(NamedTuple):
    """A field of an object is complete. With ``errors``, ``value`` is what came instead."""

    path: Path
    value: Any
    errors: tuple[FieldError, ...]


class Element(NamedTuple):
    """An element of a list is complete. With ``errors``, ``value`` is what came instead."""

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
        self._expect = _expected(model)
        self._tree = Tree(model, self._on_text, self._on_closed)
        if self._at is not None and not leads_somewhere(self._tree.shape, self._at):
            raise ValueError(f"the model has nothing at {at!r}")
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
        return self.take(self._own_parser.feed(text))

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
        if changed and self._complete:
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
        if self._ended:
            return []
        if result is None and reason is None and self._parser is not None:
            result = self._parser.finish()
        if isinstance(result, Final):
            return self._whole(result.value)
        cut = result.reason if result is not None else "cut off before its end"
        return self._last(Unfinished(self.partial, reason or cut))

    async def over(
        self, texts: AsyncIterable[str], *, limit: float | None = None
    ) -> AsyncGenerator[Any, None]:
        """Read a stream of text deltas to its end, and yield what there is to emit.

        An error of the stream is raised after what was usable. The stream is closed at the end,
        at the limit, and when the reader leaves.

        :param limit: seconds, on the loop's clock, after which what has come is the result.
        :raises ValueError: for a limit that is not above 0, before anything is read.
        """
        _check_limit(limit)
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
                    for emission in self.finish(reason=_over(limit) if over else _said(error)):
                        yield emission
                    if over:
                        return
                    raise
                for emission in self.feed(text):
                    yield emission
        for emission in self.finish():
            yield emission

    @property
    def _said(self) -> Said:
        return self._tree.errors, self._tree.errors.mark()

    @property
    def _own_parser(self) -> PartialParser:
        if self._parser is None:
            self._parser = PartialParser(expect=self._expect)
        return self._parser

    def _whole(self, value: Any) -> list[Any]:
        root = self._tree.root
        if root is None or _grows_into(root.raw, value):
            rest = [Patch((), "set", value), Patch((), "done", None)] if root is None else None
            return self.take(rest or _rest((), root.raw, value))  # type: ignore[union-attr]
        try:
            return self._last(self._tree.shape.validate(value))
        except Exception as error:
            return self._last(Unfinished(self.partial, _said(error)))

    @property
    def _complete(self) -> bool:
        return self._tree.root is not None and self._tree.root.checked

    def _outcome(self) -> M | Unfinished[M]:
        """What the complete value is."""
        partial, errors = self.partial, self._tree.errors.now()
        if not errors or partial.final is not None:
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


@overload
def partials(
    model: type[M],
    *,
    emit: Literal["piece", "patch"] = "piece",
    limit: float | None = None,
    parser: Callable[[], PartialParser] | None = None,
) -> Callable[[Observable[str]], Observable[PartialOf[M] | M | Unfinished[M]]]: ...
@overload
def partials(
    model: type[M],
    *,
    emit: Literal["field"],
    at: str | None = None,
    limit: float | None = None,
    parser: Callable[[], PartialParser] | None = None,
) -> Callable[[Observable[str]], Observable[FieldDone | M | Unfinished[M]]]: ...
@overload
def partials(
    model: type[M],
    *,
    emit: Literal["element"],
    at: str | None = None,
    limit: float | None = None,
    parser: Callable[[], PartialParser] | None = None,
) -> Callable[[Observable[str]], Observable[Element | M | Unfinished[M]]]: ...
@overload
def partials(
    model: type[M],
    *,
    emit: Literal["sentence"],
    at: str | None = None,
    language: str = "en",
    limit: float | None = None,
    parser: Callable[[], PartialParser] | None = None,
) -> Callable[[Observable[str]], Observable[Sentence | M | Unfinished[M]]]: ...
def partials(
    model: type[M],
    *,
    emit: Emit = "piece",
    at: str | None = None,
    language: str = "en",
    limit: float | None = None,
    parser: Callable[[], PartialParser] | None = None,
) -> Callable[[Observable[str]], Observable[Any]]:
    """From the text deltas of a model's JSON to typed partials, and the validated value.

    ::

        texts     --{"text":"A go------blin fa----lls","n":---7}---|
        piece     --(A go…)------------(A goblin fa…)-(A goblin falls)-(7)M---|
        field     ----------------------------------text--------------n M---|
        limit     --(A go…)------------(A goblin fa…)-X|         X: Unfinished

    - ``emit="piece"``: a :class:`PartialOf` for each piece of text that added something;
      ``"patch"``: one for each step of it, many to a piece.
    - ``"field"``: a :class:`FieldDone` for each field that is complete; ``"element"``: an
      :class:`Element` for each element of each list, such as the steps of a plan one by one.
    - ``"sentence"``: a :class:`Sentence` for each sentence of the text fields, to be spoken.

    The last item is the validated ``M``, as soon as its JSON is complete, whatever follows it;
    or :class:`Unfinished`, with all that was usable. What the model wrote is never an ``on_error``:
    that is the source's own error, and what was usable comes before it. An emission costs as much
    as there are open parts in the value, and never changes afterwards; so it can be kept.

    Validators see complete values only: those of a field when it is complete (and the fields
    before it, if they look at ``info.data``), those of a model when its object is. They run again
    when what encloses them is complete, so they should have no effects.

    :param model: a pydantic model, or any type that pydantic can validate, such as ``list[Plan]``.
    :param at: only the field, or the elements of the list, at this path: ``"text"``,
        ``"steps"``, ``"agents.*.steps"``.
    :param language: of the text, for sentences: an ISO 639 code.
    :param limit: seconds from the subscription, on the loop's clock; what is complete by then is
        the result, and the source is disposed of.
    :param parser: makes the parser of each subscription; default: a tolerant one, which looks for
        an object where the model is one, and for an array where it is a list. What comes first is
            the value: if it does not fit the model, none that follows takes its place.
    """
    _check_limit(limit)
    # What cannot be is said here, not in the stream.
    TypedPartials(model, emit, at=at, language=language)

    def typed(source: Observable[str]) -> Observable[Any]:
        def subscribe(
            observer: abc.ObserverBase[Any], _: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            value = TypedPartials(model, emit, at=at, language=language, parser=parser and parser())
            upstream = SingleAssignmentDisposable()
            timer: asyncio.TimerHandle | None = None

            def send(emissions: Iterable[Any]) -> None:
                for emission in emissions:
                    observer.on_next(emission)

            def disarm() -> None:
                if timer is not None:
                    timer.cancel()

            def on_error(error: Exception) -> None:
                disarm()
                send(value.finish(reason=_said(error)))
                observer.on_error(error)

            def on_completed() -> None:
                disarm()
                send(value.finish())
                observer.on_completed()

            def on_limit() -> None:
                upstream.dispose()
                send(value.finish(reason=_over(limit)))
                observer.on_completed()

            if limit is not None:
                timer = asyncio.get_running_loop().call_later(limit, on_limit)
            upstream.disposable = source.subscribe(
                lambda text: send(value.feed(text)), on_error, on_completed
            )
            return CompositeDisposable(upstream, Disposable(disarm))

        return Observable(subscribe)

    return typed


def _check_limit(limit: float | None) -> None:
    if limit is not None and not limit > 0:
        raise ValueError(f"limit is a number of seconds above 0, not {limit}")


async def _generator(texts: AsyncIterable[str]) -> AsyncGenerator[str, None]:
    """``texts`` as something that can be closed."""
    try:
        async for text in texts:
            yield text
    finally:
        close = getattr(texts, "aclose", None)
        if close is not None:
            await close()


def _over(limit: float | None) -> str:
    return f"not complete within {limit:g} seconds"


def _said(error: BaseException) -> str:
    """One line on an error."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        return f"not valid: {where}: {first['msg']}".replace("\n", " ")
    said = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {said[0]}"


def _grows_into(have: Any, value: Any) -> bool:
    """Whether more patches could make ``value`` of ``have``."""
    if isinstance(have, str) and isinstance(value, str):
        return value.startswith(have)
    if isinstance(have, dict) and isinstance(value, dict):
        return all(key in value and _grows_into(each, value[key]) for key, each in have.items())
    if isinstance(have, list) and isinstance(value, list):
        same = zip(have, value, strict=False)
        return len(have) <= len(value) and all(_grows_into(a, b) for a, b in same)
    return type(have) is type(value) and bool(have == value)


def _rest(path: Path, have: Any, value: Any) -> Iterator[Patch]:
    """The patches that make ``value`` of ``have``, and complete it."""
    if isinstance(value, str):
        if len(value) > len(have):
            yield Patch(path, "append", value[len(have) :])
    elif isinstance(value, (dict, list)):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            inner = (*path, key)
            if key in have if isinstance(have, dict) else key < len(have):
                yield from _rest(inner, have[key], each)
            else:
                yield Patch(inner, "set", each)
    yield Patch(path, "done", None)


def _expected(model: Any) -> Expect:
    """What JSON the model is made from, as far as its type says so plainly."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        return "any" if issubclass(model, RootModel) else "object"
    kind = get_origin(model) or model
    if kind in (dict, Mapping):
        return "object"
    return "array" if kind in (list, tuple, set, frozenset) else "any"
