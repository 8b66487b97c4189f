"""What a telling is: the default model, the schema that asks for one, and how parts become one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from ..errors import ConfigError
from .partials import MISSING

__all__ = [
    "Line",
    "Narration",
    "schema_of",
    "schema_of_tails",
    "strict_schema",
    "validate_final",
]

M = TypeVar("M", bound=BaseModel)


class Line(BaseModel):
    """What somebody says aloud."""

    speaker: str = Field(description="Who speaks, by name.")
    text: str = Field(description="The words, without quotation marks.")


class Narration(BaseModel):
    """The telling of what happened."""

    text: str = Field(description="The narrative, as it is read out.")
    lines: list[Line] = Field(default=[], description="What is said aloud; usually nothing.")
    cues: list[str] = Field(
        default=[], description="Cues for sound and picture, of a few words each; may be empty."
    )


# What the Messages API's structured output understands. The rest is told in the description.
KEPT = {
    "additionalProperties", "const", "description", "enum", "required", "type",
}  # fmt: skip
DROPPED = {"default", "discriminator", "examples", "title"}
FORMATS = {
    "date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid",
}  # fmt: skip


@lru_cache(maxsize=64)
def schema_of(model: type[BaseModel]) -> Mapping[str, Any]:
    """The JSON schema of ``model`` as structured output takes it.

    Objects allow no further properties, and every property is required, so that they come in the
    order of the model: put the text first and it streams first. Limits a server cannot enforce
    (lengths, ranges, patterns) move into the description; :func:`validate_final` enforces them.

    :raises ConfigError: if the model has a mapping with free keys, which no such schema can say.
    """
    schema: Mapping[str, Any] = strict_schema(model.model_json_schema(), model.__name__)
    return schema


@lru_cache(maxsize=64)
def schema_of_tails(model: type[BaseModel]) -> Mapping[str, Any]:
    """The schema that asks for a trunk, and for several tails that are each a ``model``.

    :raises ConfigError: as :func:`schema_of` does.
    """
    telling = dict(schema_of(model))
    named = {"$defs": telling.pop("$defs")} if "$defs" in telling else {}
    tail = _object({"of": {"type": "integer"}, "telling": telling})
    return named | _object({"trunk": {"type": "string"}, "tails": {"type": "array", "items": tail}})


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    names = [*properties]
    shape = {"type": "object", "properties": properties, "required": names}
    return shape | {"additionalProperties": False}


def strict_schema(schema: Any, name: str) -> Any:
    """A JSON schema as structured output takes it; see :func:`schema_of`. ``name``: for errors."""
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:  # of a model that holds itself, the whole is one
        kept = {key: schema[key] for key in ("$defs",) if key in schema}
        return {"$ref": schema["$ref"], **strict_schema(kept, name)}
    strict: dict[str, Any] = {}
    limits = []
    for key, value in schema.items():
        if key in ("properties", "$defs"):
            strict[key] = {each: strict_schema(sub, each) for each, sub in value.items()}
        elif key in ("anyOf", "oneOf", "allOf"):
            strict["anyOf" if key == "oneOf" else key] = [strict_schema(sub, name) for sub in value]
        elif key == "items":
            strict[key] = strict_schema(value, name)
        elif (
            key in KEPT
            or (key == "format" and value in FORMATS)
            or (key == "minItems" and value in (0, 1))
        ):
            strict[key] = value
        elif key not in DROPPED:
            limits.append(f"{key}: {value}")
    if limits:
        strict["description"] = f"{strict.get('description', '')} ({', '.join(limits)})".strip()
    if strict.get("type") == "object":
        if "properties" not in strict and strict.get("additionalProperties", True) is not False:
            raise ConfigError(
                f"{name} is a mapping with free keys, which structured output cannot ask for; "
                "use a list of models with a field for the key"
            )
        strict["additionalProperties"] = False
        strict["required"] = list(strict.get("properties", {}))
    return strict


def validate_final(model: type[M], value: Any) -> tuple[M | None, str | None]:
    """``value`` as an instance of ``model``, or one line on why it is none. Raises nothing."""
    if value is MISSING:
        return None, f"no {model.__name__} in the answer"
    try:
        return model.model_validate(value), None
    except ValidationError as error:
        first, *rest = error.errors(include_url=False)
        where = ".".join(map(str, first["loc"])) or "the value"
        more = f" (and {len(rest)} more)" if rest else ""
        return None, f"{model.__name__}: {where}: {first['msg']}{more}".replace("\n", " ")
    except Exception as error:
        said = str(error).splitlines() or [""]
        return None, f"{model.__name__}: its validator raised {type(error).__name__}: {said[0]}"
