"""The parts of a JSON value as it grows under a type, and how much of each a moment may see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .partials import MISSING, Path
from .typed_shape import ANY, TAG, Field, Form, Shape

__all__ = ["Body", "Box", "Leaf", "Mark", "Node", "Text"]

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
    what came, if it is not valid. ``hidden``: the model does not know it, and will ignore it,
    or it lies in what can be nothing the model wants there.
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
        marks: dict[int, Any] = {}
        for at, part in self.open.items():  # in Python 3.11 a comprehension is a frame of its own,
            marks[at] = part.mark()  # for each level
        return len(self.parts), marks, self.body
