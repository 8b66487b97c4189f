"""A JSON value as it grows under a type: each part is checked when it is complete."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from .partials import MISSING, Patch, Path
from .typed_errors import LOST, Errors, FieldError
from .typed_nodes import Box, Leaf, Node, Text
from .typed_shape import Form, chosen, shape_of
from .typed_share import share

__all__ = ["Tree"]


class Tree:
    """The value that a stream's patches make, as a model sees it.

    :param on_text: told of each piece of a string.
    :param on_closed: told of each part when it is complete and has been checked.
    """

    def __init__(
        self,
        model: Any,
        on_text: Callable[[Text, str], None],
        on_closed: Callable[[Node], None],
    ) -> None:
        self.shape = shape_of(model)
        self.root: Node | None = None
        self.errors = Errors()
        self.lost: Mapping[Path, str] = {}  # where the text could not be read, by JSON names
        self._told: set[Path] = set()
        self._on_text = on_text
        self._on_closed = on_closed

    def apply(self, patch: Patch) -> None:
        """Take in a patch.

        :raises ValueError: if it does not fit what came before.
        """
        path, op, value = patch
        node: Node | None = self._at(path if op != "set" else path[:-1])
        if op == "set" and not path and node is None:
            self._grow(None, "", value)
        elif op == "set" and path and isinstance(node, Box) and node.takes(path[-1]):
            self._grow(node, path[-1], value)
        elif op == "append" and isinstance(node, Text) and not node.done:
            node.append(value)
            self._hear(node, value)
        elif op == "done" and node is not None:
            self._done(node)
        else:
            raise ValueError(f"{patch!r} does not fit what came before")

    def _at(self, path: Path) -> Node | None:
        node: Any = self.root
        try:
            for step in path:
                node = node.part(step)
        except (AttributeError, LookupError, StopIteration, TypeError):
            return None
        found: Node | None = node
        return found

    def _grow(self, parent: Box | None, key: str | int, value: Any) -> None:
        shape, name, field = parent.expected(key) if parent is not None else (self.shape, key, None)
        node: Node
        if isinstance(value, str):
            node = Text(shape, parent, key, value)
        elif isinstance(value, (dict, list)):
            node = Box(shape, parent, key, isinstance(value, list))
        else:
            node = Leaf(shape, parent, key, value)
        if field is None and parent is not None and parent.form.fields is None:
            around = parent.field
            if around is not None and around.inside and not parent.held:
                field, node.owner = around.inner(shape), parent.owner
        node.name, node.field = name, field
        node.hidden = name is None
        if parent is not None:
            node.hidden |= parent.hidden or parent.shape.form.misfits(parent.is_list)
        if parent is None:
            self.root = node
        else:
            parent.add(node)
        if isinstance(node, Text):
            self._hear(node, value)
        elif isinstance(node, Leaf):
            self._done(node)
        else:
            for inner, each in value.items() if isinstance(value, dict) else enumerate(value):
                self._grow(node, inner, each)

    def _done(self, node: Node) -> None:
        if node.done:
            return
        if isinstance(node, Box):
            self._close(node)
        elif isinstance(node, Text):
            node.close()
        node.done = True
        parent, owner = node.parent, node.owner
        if parent is not None and parent.held:
            parent.open.pop(node.at, None)
            if not parent.is_list and parent.form.tag == node.key:
                self._recognise(parent, node)
            return
        if owner is not None and not owner.knows(_earlier(node)):
            owner.waiting.append(node)
            return
        self._check(node)
        while owner is not None and (ready := _ready(owner)) is not None:
            self._check(ready)

    def _close(self, box: Box) -> None:
        for part in list(box.open.values()):
            self._done(part)
        for part in sorted(box.waiting, key=lambda each: len(_earlier(each))):
            self._check(part)

    def _hear(self, node: Text, text: str) -> None:
        if node.parent is None or not node.parent.held:
            self._on_text(node, text)

    def _check(self, node: Node) -> None:
        """Validate a part that is complete."""
        first = not node.checked
        parent, owner = node.parent, node.owner
        raw = node.value = node.raw
        if isinstance(node, Box) and node.held:
            self._resolve(node, raw)
        try:
            if node.field is not None and owner is not None:
                known = owner.valid() if node.field.earlier else {}
                node.value = node.field.validate(raw, known)
            else:
                node.value = node.shape.validate(raw)
            if node.error or isinstance(node, Box):
                self.errors.forget(node.path)  # a validator of the whole has put right what was
            node.error = False
        except Exception as error:
            node.error = True
            self._blame(node, error)
        if isinstance(node, Box) and not node.error:
            node.close()
            share(node)
        node.checked = True
        if self.lost:
            self._tell_lost(node)
        if parent is not None:
            parent.open.pop(node.at, None)
        if owner is not None and node in owner.waiting:
            owner.waiting.remove(node)
        if first:
            self._on_closed(node)

    def _tell_lost(self, node: Node) -> None:
        """What of a part could not be read: it may be valid without, but is not what came."""
        place = node.place
        for path, reason in self.lost.items():
            if path not in self._told and (path == place or path[:-1] == place):
                self._told.add(path)
                inside = [] if path == place else [_name_in(node, path[-1])]
                self.errors.add([FieldError((*node.path, *inside), reason, LOST, MISSING)])

    def _recognise(self, box: Box, tag: Node) -> None:
        """What an object is shows in one of its fields; those before it have waited for it."""
        known = tag.raw if isinstance(tag.raw, (str, int)) else None
        shape = box.form.tagged.get(known)
        if shape is not None:
            self._regrow(box, shape.form)

    def _resolve(self, box: Box, raw: Any) -> None:
        """A complete box may be one of several things: the type of which it is says its parts.

        If that cannot be told, they stay as they came, and nothing is told of them.
        """
        form = chosen(box.shape, raw, is_list=box.is_list)
        if form is not None:
            self._regrow(box, form)
        if box.held:
            told = self._on_text, self._on_closed
            self._on_text, self._on_closed = (lambda node, text: None), (lambda node: None)
            try:
                self._regrow(box, Form())
            finally:
                self._on_text, self._on_closed = told
        self._close(box)

    def _regrow(self, box: Box, form: Form) -> None:
        """Its parts anew, now that it is known what they are; a moment kept has the old ones."""
        before = box.parts
        box.become(form)
        for part in before:
            self._grow(box, part.key, part.raw)
            self._done(box.parts[-1])

    def _blame(self, node: Node, error: Exception) -> None:
        path = node.path
        if self.errors.any(path):
            return  # it has been said of a part of it
        found: Iterator[FieldError]
        if isinstance(error, ValidationError):
            inner = 1 if node.field is not None and node.field.earlier is not None else 0
            found = (
                FieldError((*path, *each["loc"][inner:]), each["msg"], each["type"], each["input"])
                for each in error.errors(include_url=False, include_context=False)
            )
        else:
            said = f"its validator raised {type(error).__name__}: {error}"
            found = iter([FieldError(path, said, "validator_raised", node.raw)])
        self.errors.add(found)


def _name_in(node: Node, key: str | int) -> str | int:
    field = (node.shape.form.fields or {}).get(key) if isinstance(key, str) else None
    return key if field is None else field.name


def _earlier(node: Node) -> Collection[str]:
    return () if node.field is None else node.field.earlier or ()


def _ready(box: Box) -> Node | None:
    return next((each for each in box.waiting if box.knows(_earlier(each))), None)
