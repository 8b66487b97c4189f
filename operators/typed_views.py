"""A typed value as far as it has come: what users hold in their hands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from reprlib import Repr
from typing import Any, Generic, TypeVar, cast, overload

from .partials import MISSING, Progress
from .typed_errors import ErrorMark, Errors, FieldError
from .typed_nodes import Body, Box, Mark, Node, Text
from .typed_shape import ANY

__all__ = ["PartialDict", "PartialList", "PartialOf", "moment", "view"]

M = TypeVar("M")

Said = tuple[Errors, ErrorMark]
"""The errors of a value, and of which moment."""

SHORT = Repr()
SHORT.maxstring, SHORT.maxother = 80, 200
SHORT.maxlevel = 4


class _View(Generic[M]):
    """One moment of a growing value. It costs as little as it has open parts, and never changes."""

    __slots__ = ("_errors", "_mark", "_node")

    def __init__(self, node: Node | None, mark: Mark, errors: Said) -> None:
        self._node = node
        self._mark = mark
        self._errors = errors

    def state(self, *path: str | int) -> Progress:
        """How far it is, or the field at ``path``: ``state("steps", 0, "act")``.

        A field is done when it is complete and has been validated.
        """
        node, mark = self._look(path)
        if node is None:
            return Progress.ABSENT
        return Progress.DONE if mark is None and node.checked else Progress.GROWING

    def done(self, *path: str | int) -> bool:
        """Whether it, or the field at ``path``, is complete and validated."""
        return self.state(*path) is Progress.DONE

    def finished(self, *path: str | int) -> list[Any]:
        """The complete and valid elements of the list at ``path``; empty if it has not begun.

        The same call serves while the list grows and after. Takes as long as the list is.
        """
        node, mark = self._look(path)
        parts = _parts(node, mark) if isinstance(node, Box) else ()
        return [
            part.value for part, mark in parts if mark is None and part.checked and not part.error
        ]

    def raw(self, *path: str | int) -> Any:
        """What came, as plain JSON and by its JSON names, valid or not; not to be changed.

        Half-come strings are in it, whatever they will be. :data:`MISSING` if nothing came.
        """
        node, mark = self._look(path)
        return MISSING if node is None else _raw(node, mark)

    @property
    def final(self) -> M | None:
        """The validated value, once it is complete and if it is valid."""
        node = self._node
        if node is None or self._mark is not None or node.error or not node.checked:
            return None
        return cast("M", node.value)

    @property
    def errors(self) -> tuple[FieldError, ...]:
        """Why complete fields in it are not valid, each with its path from the top."""
        path = self._node.path if self._node is not None else ()
        said, mark = self._errors
        return said.at(mark, path)

    def _look(self, path: tuple[str | int, ...]) -> tuple[Node | None, Mark]:
        node, mark = self._node, self._mark
        for step in path:
            if not isinstance(node, Box):
                return None, None
            node, mark = _part(node, mark, step)
        return node, mark

    def _get(self, step: str | int) -> Any:
        if not isinstance(self._node, Box):
            return MISSING
        node, mark = _part(self._node, self._mark, step)
        return MISSING if node is None else view(node, mark, self._errors)

    def _names(self) -> Iterator[str]:
        if isinstance(self._node, Box):
            count = _count(self._node, self._mark)
            for name, at in list(_body(self._node, self._mark).names.items()):
                if at < count and self._get(name) is not MISSING:
                    yield name

    def _moment(self) -> tuple[Any, ...]:
        shape = self._node.shape if self._node is not None else None
        return shape, self._mark, self.raw()


class PartialOf(_View[M]):
    """A model's instance as far as it has come. It is one moment: it never changes, and is cheap.

    ``partial.text`` is what there is: the text so far, a number when it is complete, the validated
    value where the field is done, another partial where it is a model that still grows. A field
    that is not there yet raises ``AttributeError`` (so ``getattr(partial, "text", "")`` works on
    partial and final alike); ``"text" in partial``, :meth:`get` and :meth:`state` ask first. What
    would be half a value of another type (an enum, a date) is there when it is complete. A done
    field that is not valid stays as it came, and :attr:`errors` says why.

    A field whose name is that of a method is reached as ``partial["state"]``.
    """

    __slots__ = ()

    def get(self, name: str, default: Any = MISSING) -> Any:
        """The field, or ``default`` if it is not there yet."""
        value = self._get(name)
        return default if value is MISSING else value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = self._get(name)
        if value is MISSING:
            raise AttributeError(f"{name!r} is not there yet, or no field", name=name, obj=self)
        return value

    def __getitem__(self, name: str) -> Any:
        value = self._get(name)
        if value is MISSING:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._get(name) is not MISSING

    def __iter__(self) -> Iterator[str]:
        """The names of the fields that are there, in the order they came."""
        return self._names()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PartialOf):
            return NotImplemented
        return self._moment() == other._moment()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        name = "…" if self._node is None else self._node.shape.form.name
        if isinstance(self._node, Box):
            name = _body(self._node, self._mark).form.name
        fields = ", ".join(f"{each}={_shown(self, each)}" for each in self)
        return f"<partial {name}({fields})>"


class PartialList(_View[list[M]], Sequence[M]):
    """A list as far as it has come; its last element may be growing. It never changes."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: int) -> M: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[M]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(index)
        return self._get(at)

    def __len__(self) -> int:
        assert isinstance(self._node, Box)
        count = _count(self._node, self._mark)
        if count and self._get(count - 1) is MISSING:  # half a value
            count -= 1
        return count

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (PartialList, list, tuple)):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<partial [{', '.join(_shown(self, at) for at in range(len(self)))}]>"


class PartialDict(_View[dict[str, M]], Mapping[str, M]):
    """A mapping as far as it has come, or an object whose model is not known yet."""

    __slots__ = ()

    def __getitem__(self, name: str) -> M:
        value = self._get(name)
        if value is MISSING:
            raise KeyError(name)
        return value  # type: ignore[no-any-return]

    def __iter__(self) -> Iterator[str]:
        return self._names()

    def __len__(self) -> int:
        return sum(1 for _ in self._names())  # ints

    def __repr__(self) -> str:
        return f"<partial {{{', '.join(f'{each!r}: {_shown(self, each)}' for each in self)}}}>"


def moment(node: Node, mark: Mark, errors: Said) -> Any:
    """What there is of a node, as a partial of it, complete or not."""
    if not isinstance(node, Box):
        return PartialOf(node, mark, errors)
    kind: Any = PartialOf if _body(node, mark).form.fields is not None else PartialDict
    return (PartialList if node.is_list else kind)(node, mark, errors)


def view(node: Node, mark: Mark, errors: Said) -> Any:
    """A part of a value as users see it: :data:`MISSING` where there is only half of one."""
    if mark is None and node.checked and not (node.error and isinstance(node, Box)):
        return node.value
    if isinstance(node, Box):
        return moment(node, mark, errors)
    shown = node.shape is ANY or (isinstance(node, Text) and node.shape.form.text)
    return _raw(node, mark) if shown else MISSING


def _body(box: Box, mark: Any) -> Body:
    """What the box was taken for at that moment."""
    body: Body = box.body if mark is None else mark[2]
    return body


def _count(box: Box, mark: Any) -> int:
    return len(box.parts) if mark is None else mark[0]


def _part(box: Box, mark: Any, step: Any) -> tuple[Node | None, Mark]:
    if box.is_list:
        at = step if isinstance(step, int) and step >= 0 else None
    else:
        at = _body(box, mark).names.get(step)
    if at is None or at >= _count(box, mark):
        return None, None
    return _body(box, mark).parts[at], mark and mark[1].get(at)


def _parts(box: Box, mark: Any) -> Iterator[tuple[Node, Mark]]:
    for part in _body(box, mark).parts[: _count(box, mark)]:
        if part.name is not None:
            yield part, mark and mark[1].get(part.at)


def _raw(node: Node, mark: Any) -> Any:
    if isinstance(node, Text) and mark is not None:
        return node.raw[:mark]
    if not isinstance(node, Box) or mark is None:
        return node.raw
    raws = [(part.key, _raw(part, mark[1].get(part.at))) for part in mark[2].parts[: mark[0]]]
    return [raw for _, raw in raws] if node.is_list else dict(raws)


def _shown(whole: _View[Any], step: str | int) -> str:
    """A part in a repr, with an ellipsis if there is more to come."""
    return SHORT.repr(whole._get(step)) + ("" if whole.done(step) else "…")
