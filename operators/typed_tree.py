"""A JSON value as it grows under a type: each part is checked when it is complete."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from .partials import MISSING, Patch, Path
from .typed_errors import LOST, Errors, FieldError
from .typed_shape import ANY, TAG, Field, Form, Shape, chosen, shape_of
from .typed_share import share

__all__ = ["Body", "Box", "Leaf", "Mark", "Node", "Text", "Tree"]

Mark = tuple[int, dict[int, Any], "Body"] | int | None
"""How much of a node one may see: of a text so many characters; of a box so many parts, and how
much of those that were not complete, and what it was taken for; ``None`` is all of what is
complete.

Values only grow, so this is enough to keep a moment, without a copy of anything."""


FOLD = 1024  # so many pieces of a growing text lie about
# Of what is complete, to which nothing is added; there are as many boxes as objects in the value.
NO_KEYS: dict[Any, Any] = {}
NO_OPEN: dict[int, Any] = {}
NO_WAITING: list[Any] = []
NO_PARTS: list[str] = []


class Node:
    """A part of the value; ``key`` is its JSON name or index, ``at`` its place in its parent.

    ``done``: complete in the JSON. ``checked``: and validated. ``value``: the validated one;
    what came, if it is not valid. ``hidden``: the model does not know it, and will ignore it.
    ``owner``: the object with the fields that its validators may look at.
    """

    __slots__ = (
        "at", "checked", "done", "error", "field", "hidden",
        "key", "name", "owner", "parent", "shape", "value",
    )  # fmt: skip

    def __init__(self, shape: Shape, parent: Box | None, key: str | int) -> None:
        self.shape = shape
        self.parent = self.owner = parent
        self.key = key
        self.at = 0
        self.name: str | int | None = key
        self.field: Field | None = None
        self.done = self.checked = self.error = self.hidden = False
        self.value: Any = MISSING

    @property
    def raw(self) -> Any:
        """What came, as plain JSON."""
        raise NotImplementedError

    @property
    def path(self) -> Path:
        """The way to here, in the model's names."""
        if self.parent is None:
            return ()
        return (*self.parent.path, self.key if self.name is None else self.name)

    @property
    def place(self) -> Path:
        """The way to here, in JSON names."""
        return () if self.parent is None else (*self.parent.place, self.key)

    def mark(self) -> Mark:
        """How much of it there is now."""
        return 0


class Leaf(Node):
    """A number, a boolean, or null; it comes complete."""

    __slots__ = ("_raw",)

    def __init__(self, shape: Shape, parent: Box | None, key: str | int, raw: Any) -> None:
        super().__init__(shape, parent, key)
        self._raw = raw

    @property
    def raw(self) -> Any:
        """What came."""
        return self._raw


class Text(Node):
    """A string; a look at it costs the pieces that came since the last one."""

    __slots__ = ("_parts", "_text", "length")

    def __init__(self, shape: Shape, parent: Box | None, key: str | int, text: str) -> None:
        super().__init__(shape, parent, key)
        self._text = text
        self._parts: list[str] = []
        self.length = len(text)

    def append(self, text: str) -> None:
        """More of it."""
        self._parts.append(text)
        self.length += len(text)
        if len(self._parts) >= FOLD:
            _ = self.raw

    def close(self) -> None:
        """No more of it comes."""
        _ = self.raw
        self._parts = NO_PARTS

    @property
    def raw(self) -> str:
        """What came so far.

        The node lets go of it first, so that it grows in place if nobody else holds it.
        """
        text, self._text = self._text, ""
        if self._parts:
            text += "".join(self._parts)
            self._parts.clear()
        self._text = text
        return text

    def mark(self) -> Mark:
        """So many characters."""
        return self.length


class Body:
    """What a box is taken for, and its parts as they are then; a later body takes its place."""

    __slots__ = ("form", "names", "parts")

    def __init__(self, form: Form) -> None:
        self.form = form
        self.parts: list[Node] = []
        self.names: dict[Any, int] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Body) and self.form is other.form

    __hash__ = None  # type: ignore[assignment]


class Box(Node):
    """An object or an array, with its parts in the order they came.

    ``names``: where the parts are that a model knows. ``open``: those that are not complete.
    ``waiting``: those that are, and whose validators may look at fields that are not. ``held``:
    it, or what it lies in, may be one of several things; its parts wait until that is known.
    """

    __slots__ = (
        "_raw", "body", "form", "held", "is_list", "keys", "names", "open", "parts", "waiting",
    )  # fmt: skip

    def __init__(self, shape: Shape, parent: Box | None, key: str | int, is_list: bool) -> None:
        super().__init__(shape, parent, key)
        self.is_list = is_list
        self._raw: Any = None
        self.become(shape.form)

    def become(self, form: Form) -> None:
        """Take it for that, without a part yet."""
        self.form = form
        self.body = Body(form)
        self.parts, self.names = self.body.parts, self.body.names
        self.keys: dict[Any, Node] = {}
        self.open: dict[int, Node] = {}
        self.waiting: list[Node] = []
        within = self.parent is not None and self.parent.held
        self.held: bool = within or form.unknown(self.is_list)

    def expected(self, key: Any) -> tuple[Shape, str | int | None, Field | None]:
        """The shape of the part with that key, its name in the model, and its field."""
        if self.is_list:
            return self.form.item(key), key, None
        if self.form.fields is None:
            return TAG if key == self.form.tag else self.form.values or ANY, key, None
        field = self.form.fields.get(key)
        if field is None:
            return ANY, key if self.form.extra else None, None
        if field.name in self.names:  # under another of its names: the first one stays
            return ANY, None, None
        return field.shape, field.name, field

    def add(self, part: Node) -> None:
        """One part more."""
        part.at = len(self.parts)
        self.parts.append(part)
        self.open[part.at] = part
        if not self.is_list:
            self.keys[part.key] = part
            if part.name is not None:
                self.names.setdefault(part.name, part.at)

    def boxes(self) -> Iterator[Box]:
        """Its parts that have parts."""
        return (part for part in self.parts if isinstance(part, Box))

    def close(self) -> None:
        """Nothing more comes of it; its parts are found one after another."""
        self.keys, self.open, self.waiting = NO_KEYS, NO_OPEN, NO_WAITING

    def part(self, key: Any) -> Node:
        """The part with this JSON name or index."""
        found: Node
        if self.is_list:
            found = self.parts[key]
        elif self.keys is NO_KEYS:
            found = next(part for part in self.parts if part.key == key)
        else:
            found = self.keys[key]
        return found

    def takes(self, key: Any) -> bool:
        """Whether a part with that key can come next."""
        free = key == len(self.parts) if self.is_list else key not in self.keys
        return free and not self.done

    def valid(self) -> dict[str, Any]:
        """The valid fields so far."""
        named = ((name, self.parts[at]) for name, at in self.names.items())
        return {name: part.value for name, part in named if part.checked and not part.error}

    def knows(self, names: Any) -> bool:
        """Whether all these fields are complete."""
        return all(name in self.names and self.parts[self.names[name]].checked for name in names)

    @property
    def raw(self) -> Any:
        """What came so far; of what is complete, always the same object."""
        if self._raw is not None:
            return self._raw
        raw: Any = (
            [part.raw for part in self.parts]
            if self.is_list
            else {part.key: part.raw for part in self.parts}
        )
        if self.done:
            self._raw = raw
        return raw

    def mark(self) -> Mark:
        """So many parts, and how much of the open ones."""
        return len(self.parts), {at: part.mark() for at, part in self.open.items()}, self.body


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
        node.hidden = name is None or (parent is not None and parent.hidden)
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
