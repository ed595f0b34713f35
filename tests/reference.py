"""The reference of the language as Markdown, from the schema: a table a section, one row a key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.language.based import resolved
from ctc.language.shape import schema

Part = Mapping[str, Any]

UNITS = ("duration", "latency", "rate", "size", "share", "money", "instant")
SHARED = ("resources", "schedule", "approval", "secret", "live_limit")
"""Definitions that several sections use, and that have a table of their own."""


def language_reference() -> str:
    lines: list[str] = []
    for key, part in schema()["properties"].items():
        lines += section(f"`{key}`", part, key in schema()["required"])
    for name in SHARED:
        lines += section(name.replace("_", " ").capitalize(), {"$ref": f"#/$defs/{name}"}, None)
    lines += ["### Values with units", "", "| unit | takes | for instance |", "| --- | --- | --- |"]
    for name in UNITS:
        part = schema()["$defs"][name]
        examples = ", ".join(f"`{example}`" for example in part["examples"])
        lines.append(f"| {name} | {part['description']} | {examples} |")
    return "\n".join(lines)


def section(title: str, part: Part, required: bool | None) -> list[str]:
    described = part.get("description") or resolved(part, schema())["description"]
    told = {True: " Required.", False: "", None: ""}[required]
    rows = list(keys(resolved(part, schema()), ""))
    if not rows and required is not None:
        told += f" Takes {takes(part)}."
    lines = [f"### {title}", "", f"{described}{told}{not_run(part)}", ""]
    if rows:
        lines += ["| key | takes | meaning |", "| --- | --- | --- |", *rows, ""]
    lines += examples(part)
    return lines


def keys(part: Part, prefix: str) -> Iterator[str]:
    """A row for each key below a part, and for theirs."""
    named = part.get("additionalProperties")
    if isinstance(named, dict) and resolved(named, schema()).get("properties"):
        yield from keys(resolved(named, schema()), f"{prefix}NAME.")
    for key, inner in part.get("properties", {}).items():
        yield from row(f"{prefix}{key}", inner, key in part.get("required", ()))
    items = part.get("items")
    if isinstance(items, dict) and resolved(items, schema()).get("properties"):
        yield from keys(resolved(items, schema()), f"{prefix}N.")


def row(path: str, inner: Part, required: bool) -> Iterator[str]:
    part = resolved(inner, schema())
    meaning = inner.get("description") or part["description"]
    shared = reference(inner) in SHARED
    yield f"| `{path}`{'*' if required else ''} | {takes(inner)} | {cell(meaning + not_run(inner))} |"
    if not shared:
        yield from keys(part, f"{path}.")


def takes(inner: Part) -> str:
    part = resolved(inner, schema())
    name = reference(inner)
    if name in SHARED:
        return f"[{name.replace('_', ' ')}](#{name.replace('_', '-')})"
    if "x-unit" in part:
        return f"[{part['x-unit']}](#values-with-units)"
    if "enum" in part:
        return " \\| ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    kinds = part.get("type")
    names = {"object": "map", "array": "list", "string": "text", "integer": "whole number", "boolean": "true or false"}
    return " or ".join(names.get(kind, kind) for kind in (kinds if isinstance(kinds, list) else [kinds]))


def reference(inner: Part) -> str:
    return str(inner.get("$ref", "")).rsplit("/", 1)[-1]


def not_run(part: Part) -> str:
    mark = part.get("x-not-run", resolved(part, schema()).get("x-not-run"))
    if mark is True:
        return " *Not run yet.*"
    return f" *Not run yet: {', '.join(f'`{value}`' for value in mark)}.*" if mark else ""


def examples(part: Part) -> list[str]:
    given = [item for item in resolved(part, schema()).get("examples", []) if isinstance(item, dict | list)]
    return [line for item in given[:1] for line in (f"For instance `{json.dumps(item, ensure_ascii=False)}`.", "")]


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
