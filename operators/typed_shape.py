"""What a pydantic type expects at each place of its JSON, and how to check one place alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, get_args, get_origin

from pydantic import TypeAdapter
from pydantic_core import SchemaValidator, core_schema, to_json

__all__ = [
    "ANY",
    "TAG",
    "Field",
    "Form",
    "Shape",
    "chosen",
    "leads_somewhere",
    "shape_of",
    "text_at",
]

Schema = Mapping[str, Any]

PLAIN = {"str": str, "int": int, "float": float, "bool": bool, "none": type(None)}
SILENT = {"metadata", "ref", "serialization", "type"}
"""What may stand in the schema of a plain type without changing what it accepts."""
INNER = {
    "default": "schema",
    "nullable": "schema",
    "function-after": "schema",
    "function-before": "schema",
    "function-wrap": "schema",
    "json-or-python": "json_schema",
    "lax-or-strict": "lax_schema",
}
"""Schemas around one that has the same form in JSON, and where that one stands in them."""
WHOLE = {"literal", "enum", "date", "time", "datetime", "timedelta", "decimal", "uuid", "url"}
"""Schemas of what is no object and no array, beside the plain ones."""

EARLIER: ContextVar[Mapping[str, Any]] = ContextVar("EARLIER")
"""The fields before the one being checked, for validators that look at ``info.data``."""


@dataclass(frozen=True, slots=True)
class Form:
    """What the JSON at a place looks like.

    ``text``: a string may be shown while it grows. ``fields``: by JSON name, of an object;
    ``extra``: others are kept. ``values``, ``items`` and ``rest``: of a mapping's values, of the
    first elements of an array, and of the others. ``tag``: the JSON name that decides which of
    ``tagged`` an object is. ``plain``: the Python types of JSON values that are valid as they are.
    ``leaf``: nothing lies within it. ``objects`` and ``arrays``: what an object or an array may
    be, if it may be several things and no field says which.
    """

    name: str = "value"
    text: bool = False
    fields: Mapping[str, Field] | None = None
    extra: bool = False
    values: Shape | None = None
    items: tuple[Shape, ...] = ()
    rest: Shape | None = None
    tag: str | None = None
    tagged: Mapping[Any, Shape] = field(default_factory=dict)
    plain: frozenset[type] = frozenset()
    leaf: bool = False
    objects: tuple[Shape, ...] = ()
    arrays: tuple[Shape, ...] = ()

    def unknown(self, is_list: bool) -> bool:
        """Whether there is a choice of what an object or array here is."""
        return bool(self.arrays) if is_list else self.tag is not None or bool(self.objects)

    @property
    def of_object(self) -> bool:
        """Whether more is known of an object here than that it may be one."""
        known = self.fields is not None or self.values is not None or self.tag is not None
        return known or bool(self.objects)

    @property
    def of_array(self) -> bool:
        """Whether more is known of an array here than that it may be one."""
        return bool(self.items or self.arrays) or self.rest is not None

    def misfits(self, is_list: bool) -> bool:
        """Whether an object or array stands where the model wants something else."""
        if self.of_array if is_list else self.of_object:
            return False
        return self.leaf or (self.of_object if is_list else self.of_array)

    def item(self, index: int) -> Shape:
        """What is expected at ``index`` of an array."""
        return self.items[index] if index < len(self.items) else self.rest or ANY


@dataclass(slots=True)
class _Whole:
    """The type that shapes are parts of: its named schemas, and their shapes once made."""

    definitions: dict[str, Schema] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)


class Shape:
    """What is expected at one place: its form, worked out when first asked for, and its check."""

    def __init__(self, schema: Any, config: Any, whole: _Whole) -> None:
        self._schema = schema
        self._config = config
        self._whole = whole

    @cached_property
    def form(self) -> Form:
        """What the JSON here looks like; of what is not known here, only that it is a value."""
        return _form(self._schema, self._config, self._whole)

    @cached_property
    def _validator(self) -> SchemaValidator:
        return self.validator(self._schema)

    def validator(self, schema: Any) -> SchemaValidator:
        """A validator of ``schema``, under the settings that hold at this place."""
        known = list(self._whole.definitions.values())
        if known:
            schema = core_schema.definitions_schema(schema, known)
        return SchemaValidator(schema, self._config)

    def validate(self, raw: Any) -> Any:
        """``raw`` as a value of this type, by the rules for JSON.

        :raises ValidationError: and whatever else its validators raise.
        """
        return raw if type(raw) in self.form.plain else self._validator.validate_json(to_json(raw))


@dataclass(slots=True)
class Field:
    """A field of an object: its Python name, the JSON names it goes by, and its check.

    ``earlier``: the fields it has to wait for, because a validator of it may look at them;
    ``None`` if none of its validators is told of others. ``inside``: one within it is.
    """

    name: str
    keys: tuple[str, ...]
    shape: Shape
    earlier: Mapping[str, Schema] | None
    inside: bool = False
    _validator: SchemaValidator | None = None
    _inner: dict[Shape, Field] = field(default_factory=dict)

    def inner(self, shape: Shape) -> Field:
        """What lies within this field, an element of it, say, as its validators see it."""
        if shape not in self._inner:
            self._inner[shape] = Field(self.name, (), shape, self.earlier, self.inside)
        return self._inner[shape]

    def validate(self, raw: Any, fields: Mapping[str, Any]) -> Any:
        """The value as the whole object would have it; ``fields`` are the valid ones so far.

        :raises ValidationError: and whatever else its validators raise.
        """
        if self.earlier is None:
            return self.shape.validate(raw)
        if self._validator is None:
            places = {name: _stand_in(name, each) for name, each in self.earlier.items()}
            places[self.name] = core_schema.typed_dict_field(self.shape._schema)
            self._validator = self.shape.validator(core_schema.typed_dict_schema(places))
        known = {name: fields[name] for name in self.earlier if name in fields}
        token = EARLIER.set(known)
        try:
            whole = self._validator.validate_json(to_json({**dict.fromkeys(known), self.name: raw}))
        finally:
            EARLIER.reset(token)
        return whole[self.name]


ANY = Shape({"type": "any"}, None, _Whole())
"""Anything goes, as it comes."""

TAG = Shape({"type": "literal", "expected": []}, None, _Whole())
"""What says which of several things an object is; it is looked at when that is known."""


def leads_somewhere(shape: Shape, path: Sequence[str]) -> bool:
    """Whether something may stand at ``path`` in the model's names, ``*`` being any of them."""
    if not path:
        return True
    found = _below(shape, path[0])
    if found is None:
        return not shape.form.leaf  # unless it is one, nothing is known of it
    return shape.form.extra or any(leads_somewhere(each, path[1:]) for each in found)


def text_at(shape: Shape, path: Sequence[str]) -> bool:
    """Whether text may stand at ``path`` in the model's names, as far as its type says."""
    if not path:
        form = shape.form
        return form.text or not (form.leaf or form.of_object or form.of_array)
    found = _below(shape, path[0])
    return found is None or shape.form.extra or any(text_at(each, path[1:]) for each in found)


def _below(shape: Shape, step: str) -> list[Shape] | None:
    """What may stand at ``step`` under ``shape``; ``None`` if nothing is known of it."""
    form = shape.form
    if form.tag is not None:
        below = [_below(each, step) for each in form.tagged.values() if not each.form.leaf]
        more = any(each.form.extra for each in form.tagged.values())
        known = [inner for each in below for inner in each or ()]
        return None if more or None in below else known
    inner: list[Shape] = list(form.items)
    inner += [each for each in (form.values, form.rest) if each is not None]
    if form.fields is not None:
        inner += [each.shape for each in form.fields.values() if step in ("*", each.name)]
    elif not inner:
        return None
    return inner


def shape_of(model: Any) -> Shape:
    """The shape of a pydantic model, or of any type pydantic can validate.

    :raises PydanticUserError: for a type it cannot.
    """
    try:
        return _kept(_key(model), model)
    except TypeError:  # something in the type cannot be hashed
        return _worked_out(model)


def _key(model: Any) -> Any:
    """Tells types apart that are equal and not the same: ``A | B`` and ``B | A``."""
    args = get_args(model)
    return (get_origin(model), *map(_key, args)) if args else (type(model), model)


@lru_cache(maxsize=256)
def _kept(_: Any, model: Any) -> Shape:
    return _worked_out(model)


def _worked_out(model: Any) -> Shape:
    # One that is not built yet (``defer_build``) is a mapping that builds itself when it is read.
    return _shape(dict(TypeAdapter(model).core_schema), None, _Whole())


def _shape(schema: Any, config: Any, whole: _Whole) -> Shape:
    if schema["type"] == "definitions":
        whole.definitions.update((each["ref"], each) for each in schema["definitions"])
        return _shape(schema["schema"], config, whole)
    if schema["type"] == "definition-ref":
        ref = schema["schema_ref"]
        if ref not in whole.shapes:
            whole.shapes[ref] = Shape(schema, config, whole)
        return whole.shapes[ref]
    return Shape(schema, config, whole)


def _form(schema: Any, config: Any, whole: _Whole) -> Form:
    kind = schema["type"]
    config = schema.get("config", config) or {}

    def part(key: str) -> Shape:
        return _shape(schema[key], config, whole) if key in schema else ANY

    match kind:
        case "definition-ref":
            return _form(whole.definitions[schema["schema_ref"]], config, whole)
        case "str" | "int" | "float" | "bool" | "none":
            free = schema.keys() <= SILENT
            if kind == "str":
                free = free and not any(key.startswith("str_") for key in config)
            plain = frozenset({PLAIN[kind]} if free else ())
            return Form(text=kind == "str", plain=plain, leaf=True)
        case _ if kind in WHOLE:
            return Form(leaf=True)
        case "any":
            return Form(text=True, plain=frozenset({*PLAIN.values(), dict, list}))
        case "model" | "dataclass":
            return replace(part("schema").form, name=schema["cls"].__name__, plain=frozenset())
        case "model-fields" | "typed-dict" | "dataclass-args":
            extra = schema.get("extra_behavior", config.get("extra_fields_behavior"))
            fields = _fields(schema["fields"], config, whole)
            name = getattr(schema.get("cls"), "__name__", "value")
            by_key = {key: each for each in fields for key in each.keys}
            return Form(name=name, fields=by_key, extra=extra == "allow")
        case "dict":
            return Form(values=part("values_schema"))
        case "list" | "set" | "frozenset":
            return Form(rest=part("items_schema"))
        case "tuple":
            items = [_shape(each, config, whole) for each in schema["items_schema"]]
            at = schema.get("variadic_item_index")
            return Form(items=tuple(items[:at]), rest=None if at is None else items[at])
        case "union":
            choices = (each[0] if isinstance(each, tuple) else each for each in schema["choices"])
            return _union([_shape(each, config, whole) for each in choices])
        case "tagged-union" if not isinstance(schema["discriminator"], str):
            return _union([_shape(each, config, whole) for each in schema["choices"].values()])
        case "tagged-union" if isinstance(schema["discriminator"], str):
            choices = schema["choices"].items()
            tagged = {tag: _shape(each, config, whole) for tag, each in choices}
            return Form(tag=schema["discriminator"], tagged=tagged)
        case _ if kind in INNER:
            form = part(INNER[kind]).form
            plain = form.plain if kind in {"default", "nullable"} else frozenset()
            if kind == "nullable":
                plain |= {type(None)}
            leaf = form.leaf and kind not in {"function-before", "function-wrap"}  # may take all
            return replace(form, plain=plain, leaf=leaf)
    return Form()


def _union(choices: list[Shape]) -> Form:
    """The only form among them that an object can have, and the only one of an array."""
    forms = [each.form for each in choices]
    objects = tuple(each for each in choices if each.form.of_object)
    arrays = tuple(each for each in choices if each.form.of_array)
    form = objects[0].form if len(objects) == 1 else Form(objects=objects)
    array = arrays[0].form if len(arrays) == 1 else Form(arrays=arrays)
    text = any(each.text for each in forms)
    leaf = all(each.leaf for each in forms)
    return replace(
        form,
        text=text,
        items=array.items,
        rest=array.rest,
        arrays=array.arrays,
        plain=frozenset(),
        leaf=leaf,
    )


def chosen(shape: Shape, raw: Any, *, is_list: bool) -> Form | None:
    """Which of the things that it may be the complete ``raw`` is, if that can be told.

    The only one that it is valid as, or the one whose value is that of all of them together.
    """
    form: Form | None = shape.form
    while form is not None and (choices := form.arrays if is_list else form.objects):
        fits = [(each, value) for each in choices for value in _valid(each, raw)]
        if len(fits) > 1:
            [whole] = _valid(shape, raw) or [None]
            fits = [each for each in fits if type(each[1]) is type(whole) and each[1] == whole]
        form = fits[0][0].form if fits else None
    return form


def _valid(shape: Shape, raw: Any) -> list[Any]:
    try:
        return [shape.validate(raw)]
    except Exception:
        return []


def _fields(fields: Any, config: Any, whole: _Whole) -> Iterator[Field]:
    by_name = config.get("validate_by_name") or config.get("populate_by_name")
    by_alias = config.get("validate_by_alias", True)
    earlier: dict[str, Schema] = {}
    for name, each in fields.items() if isinstance(fields, Mapping) else _named(fields):
        schema = each["schema"]
        alias = each.get("validation_alias") if by_alias else None
        keys = [name] if alias is None else list(_json_names(alias))
        if by_name and name not in keys:
            keys.append(name)
        inside = _looks_inside(schema)
        waits = dict(earlier) if inside or _looks_around(schema) else None
        yield Field(name, tuple(keys), _shape(schema, config, whole), waits, inside)
        earlier[name] = schema


def _named(fields: Any) -> Iterator[tuple[str, Any]]:
    return ((each["name"], each) for each in fields)


def _json_names(alias: Any) -> Iterator[str]:
    """The JSON names in a validation alias; a path into another field has none of its own."""
    if isinstance(alias, str):
        yield alias
    elif isinstance(alias[0], str):
        yield from alias if len(alias) == 1 else ()
    else:
        for each in alias:
            yield from _json_names(each)


def _looks_around(schema: Any) -> bool:
    """Whether a validator of this field, in the layers around its type, is given ``info``."""
    while True:
        function = schema.get("function")
        if isinstance(function, Mapping) and function["type"] == "with-info":
            return True
        if schema["type"] not in INNER:
            return False
        schema = schema[INNER[schema["type"]]]


def _looks_inside(schema: Any) -> bool:
    """Whether a validator within this field, but of no model in it, is given ``info``."""
    while schema["type"] in INNER:
        schema = schema[INNER[schema["type"]]]
    inner = [
        schema[key] for key in ("items_schema", "values_schema", "keys_schema") if key in schema
    ]
    parts = inner[0] if inner and isinstance(inner[0], list) else inner
    if schema["type"] == "union":
        choices = (each[0] if isinstance(each, tuple) else each for each in schema["choices"])
        return any(map(_looks_inside, choices))
    return any(_looks_around(each) or _looks_inside(each) for each in parts)


def _stand_in(name: str, schema: Schema) -> core_schema.TypedDictField:
    """In the place of an earlier field: its known value, or its default if it did not come."""
    known: Any = core_schema.no_info_plain_validator_function(lambda _: EARLIER.get()[name])
    if schema["type"] == "default":
        known = {**schema, "schema": known, "validate_default": False}
    return core_schema.typed_dict_field(known, required=False)
