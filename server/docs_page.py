"""``/docs``: what can be asked, as a page that has no scripts and loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["page"]

STYLE = "body{font:16px/1.5 sans-serif;max-width:46em;margin:2em auto;padding:0 1em}"
POLICY = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}


def page(app: FastAPI) -> None:
    """Add the page to an application."""
    from starlette.responses import HTMLResponse

    async def docs() -> Any:
        return HTMLResponse(_html(app.openapi()), headers=POLICY)

    app.add_api_route("/docs", docs, methods=["GET"], include_in_schema=False, response_model=None)


def _html(schema: dict[str, Any]) -> str:
    rows = []
    for path, methods in schema["paths"].items():
        for method, what in methods.items():
            rows.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            rows.append(f"<p>{escape(what.get('description', what.get('summary', '')))}</p><ul>")
            for each in what.get("parameters", ()):
                asked = each["schema"]
                values = [value for one in _choices(asked) for value in one.get("enum", ())]
                if not each.get("required"):
                    default = asked.get("default")
                    values.append("or nothing" if default is None else f"{default!r} if not")
                rows.append(_line(each["name"], values))
            for media in what.get("requestBody", {}).get("content", {}).values():
                for one in _choices(media["schema"]):
                    model = schema["components"]["schemas"][one["$ref"].rsplit("/", 1)[-1]]
                    rows.append(_line(f"a body: {model['title']}", model["properties"]))
            rows.append("</ul>")
    name = escape(f"{schema['info']['title']} {schema['info']['version']}")
    return (
        f"<!doctype html><meta charset=utf-8><title>{name}</title><style>{STYLE}</style><h1>{name}"
        f'</h1><p>All of it: <a href="/openapi.json">openapi.json</a></p>{"".join(rows)}'
    )


def _choices(schema: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """What a value may be one of; itself, if it is no choice."""
    found: Sequence[Mapping[str, Any]] = schema.get("anyOf", (schema,))
    return found


def _line(name: str, values: Iterable[Any]) -> str:
    return f"<li><code>{escape(name)}</code>: {escape(', '.join(map(str, values)))}</li>"
