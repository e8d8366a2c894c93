"""The OpenAPI document as one page of HTML: every operation and every schema, without a script. Pure; knows no request."""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["render_reference"]

Schema = Mapping[str, Any]


def render_reference(document: Mapping[str, Any]) -> str:
    """The body of the page: an index of the operations, then each of them by its tag, then the schemas."""
    operations = list(_operations(document))
    parts = [f"<h1>{_text(document['info']['title'])} {_text(document['info']['version'])}</h1>", _prose(document["info"]["description"])]
    for tag in document["tags"]:
        mine = [item for item in operations if tag["name"] in item[2]["tags"]]
        parts.append(f"<h2>{_text(tag['name'])}</h2>{_prose(tag['description'])}")
        parts += [_operation(*item, document) for item in mine]
    parts.append("<h2>schemas</h2>")
    parts += [_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items())]
    return "\n".join(parts)


def _operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Schema]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def _operation(path: str, method: str, operation: Schema, document: Mapping[str, Any]) -> str:
    """An operation, closed until it is opened."""
    head = f"<summary><b>{method.upper()}</b> <code>{_text(path)}</code> {_text(operation['summary'])}</summary>"
    parameters = [
        (item["name"], _type(item["schema"]), f"{item['in']}{', required' if item.get('required') else ''}", _inline(item))
        for item in operation.get("parameters", ())
    ]
    body = operation.get("requestBody", {}).get("content", {})
    parts = [_prose(operation.get("description", "")), _table(("parameter", "type", "in", ""), parameters)]
    parts += [f"<p>body: {_text(media)} {_type(content.get('schema', {}))}</p>" for media, content in body.items()]
    parts.append(_table(("answer", "body", ""), [_response(status, item, document) for status, item in operation["responses"].items()]))
    return f'<details id="{_text(operation["operationId"])}">{head}{"".join(parts)}</details>'


def _response(status: str, response: Schema, document: Mapping[str, Any]) -> tuple[str, ...]:
    if "$ref" in response:
        response = document["components"]["responses"][_name_of(response)]
    bodies = [f"{_text(media)} {_type(content.get('schema', {}))}" for media, content in response.get("content", {}).items()]
    return _text(status), "<br>".join(bodies), _inline(response)


def _schema(name: str, schema: Schema) -> str:
    required = set(schema.get("required", ()))
    fields = [
        (field, _type(item), "required" if field in required else "", _inline(item)) for field, item in schema.get("properties", {}).items()
    ]
    kind = "" if fields else f"<p>{_type(schema)}</p>"
    table = _table(("field", "type", "", ""), fields)
    return f'<details id="schema-{_text(name)}"><summary><code>{_text(name)}</code></summary>{_inline(schema)}{kind}{table}</details>'


def _type(schema: Schema) -> str:
    """The type of a value in words; a schema by name is a link to it."""
    if "$ref" in schema:
        name = _text(_name_of(schema))
        return f'<a href="#schema-{name}">{name}</a>'
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(_type(item) for item in schema[key])
    if "enum" in schema or "const" in schema:
        return " | ".join(f"<code>{_text(value)}</code>" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    return _text(schema.get("format") or schema.get("type") or "any")


def _name_of(reference: Schema) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already, but for the first, which is a name; empty without a row."""
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in heads)
    lines = "".join(f"<tr><td><code>{row[0]}</code></td>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{lines}</table>"


def _prose(text: str) -> str:
    return "".join(f"<p>{_marked(part)}</p>" for part in text.strip().split("\n\n") if part)


def _inline(item: Schema) -> str:
    return _marked(item.get("description") or "")


def _marked(text: str) -> str:
    """Text with words in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", _text(text))


def _text(value: object) -> str:
    return html.escape(str(value))
