"""What an editor shows of a spec: a real language server for YAML, on the schema that the file's first line names.

The server is pinned in tests/editor; `make editor` installs it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from language_server import LanguageServer

from ctc.diagnostics import Diagnostic
from ctc.language.based import inner, resolved
from ctc.language.shape import check_shape, schema
from ctc.language.source import decode

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "editor"
SERVER = FOLDER / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
SETTINGS = {
    "yaml": {
        "validate": True,
        "hover": True,
        "completion": True,
        "schemaStore": {"enable": False},
        "kubernetesCRDStore": {"enable": False},
    }
}
MODELINE = f"# yaml-language-server: $schema={ROOT / 'schemas' / 'ct.v1.schema.json'}\n"
BUFFER = ROOT / "specs" / "unsaved.yaml"
"""Where texts stand that are in no file."""

PROPERTY = 10
"""The protocol's kind of a completion that is a key, not a snippet of the server's own."""

KINDS = {"schedule", "new_data", "performance", "drift", "event", "manual"}
COMMON = {"enabled", "exempt", "then", "sustained", "wait_for"}

SPECS = sorted((ROOT / "specs").glob("*.yaml"))
WRONG = sorted((ROOT / "tests" / "err").glob("CT10[1-8]-*.yaml"))

ANCHORED = ["anchors-and-merges"]
"""Specs of which the server says more than the schema: an anchor that nothing uses."""

BESIDE = {
    "CT103-env": ["training.env.LIST"],
    "CT103-wrong-types": ["training.code"],
    "CT105-limits": ["evaluation.metrics"],
}
"""Where we point at the key, because the value is none, a list or a map, and the server behind it."""

UNSEEN = {"CT106-units": ["retraining.validation_share"]}
"""`200%` has the form of a share: that it is none only a reader of units can tell."""


@pytest.fixture(scope="module")
def server() -> Iterator[LanguageServer]:
    node = shutil.which("node")
    missing = "node" if node is None else "" if SERVER.is_file() else "the server (`make editor` installs it)"
    if node is None or missing:
        if os.environ.get("CTC_REQUIRE_TOOLS") == "1":
            pytest.fail(f"{missing} is absent and CTC_REQUIRE_TOOLS=1")
        pytest.skip(f"{missing} is not installed")
    with LanguageServer([node, "--require", str(FOLDER / "loopback.cjs"), str(SERVER), "--stdio"], SETTINGS) as started:
        yield started
    assert "reached for" not in started.messages


def at_cursor(text: str) -> tuple[str, tuple[int, int]]:
    """The text below a modeline, without its `|`, and the place of that."""
    before, after = (MODELINE + text).split("|")
    return before + after, (before.count("\n"), len(before) - before.rfind("\n") - 1)


def offered(server: LanguageServer, text: str) -> set[str]:
    """What is offered where the `|` stands, but for snippets that are no single key or value."""
    items = server.completions(BUFFER, *at_cursor(text))
    keys = {label for label, item in items.items() if item["kind"] == PROPERTY}
    return keys or set(items)


def overlaps(found: dict[str, Any], ours: Diagnostic, *, columns: bool) -> bool:
    """Whether the server's finding, in a text one line longer, is on the line and the columns of ours."""
    assert ours.span is not None
    start, end = found["range"]["start"], found["range"]["end"]
    if not start["line"] <= ours.span.line <= end["line"]:
        return False
    left = start["character"] + 1 if start["line"] == ours.span.line else 1
    right = end["character"] + 1 if end["line"] == ours.span.line else sys.maxsize
    return not columns or (left < ours.span.end_column and ours.span.column < max(right, left + 1))


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_nothing_is_wrong_with_the_canonical_specs(server: LanguageServer, path: Path) -> None:
    assert server.findings(path, path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", sorted((ROOT / "tests" / "ok").glob("*.yaml")), ids=lambda path: path.stem)
def test_nothing_is_wrong_with_specs_that_are_right(server: LanguageServer, path: Path) -> None:
    found = server.findings(path, MODELINE + path.read_bytes().decode("utf-8-sig"))

    assert [item["message"] for item in found if "anchor" not in item["message"].lower()] == []
    assert bool(found) == (path.stem in ANCHORED)


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_what_is_wrong_is_flagged_where_we_flag_it(server: LanguageServer, path: Path) -> None:
    content = path.read_bytes()
    document = decode(content, str(path))
    ours = check_shape(document.data, document.spans)
    found = server.findings(path, MODELINE + content.decode("utf-8-sig"))

    assert bool(ours) == bool(found)
    for item in ours:
        if item.path in UNSEEN.get(path.stem, ()):
            continue
        columns = item.path not in BESIDE.get(path.stem, ())
        assert any(overlaps(one, item, columns=columns) for one in found), (item, found)


def test_the_wrong_specs_are_many() -> None:
    assert len(WRONG) >= 12


@pytest.mark.parametrize("text", ["triggers:\n  weekly:\n    |\n", "triggers: {weekly: {s|}}\n"], ids=["block", "flow"])
def test_a_trigger_is_offered_its_kinds(server: LanguageServer, text: str) -> None:
    assert offered(server, text) == KINDS | COMMON


def test_what_a_trigger_has_is_not_offered_again(server: LanguageServer) -> None:
    assert offered(server, "triggers:\n  weekly:\n    manual: {}\n    |\n").isdisjoint({"manual"})


def test_a_gate_is_offered_its_kinds_and_then_their_fields(server: LanguageServer) -> None:
    gate = "promotion:\n  gates:\n    floor:\n      "

    assert offered(server, gate + "|\n") == {
        "range", "not_worse", "min_gain", "parity", "latency", "model_size", "forgetting", "expression"
    }  # fmt: skip
    assert offered(server, gate + "range:\n        |\n") == {"metric", "by", "min", "max"}
    assert offered(server, gate + "range: {metric: auc, m|}\n") == {"by", "min", "max"}


def test_the_top_level_is_offered_the_keys_that_are_not_there(server: LanguageServer) -> None:
    minimal = (ROOT / "specs" / "minimal.yaml").read_text(encoding="utf-8")
    there = set(decode(minimal.encode(), "minimal").data)

    assert offered(server, minimal + "|") == set(schema()["properties"]) - there
    assert len(there) > 10


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("mode: |\n", {"observe", "recommend", "act"}),
        ("task: |\n", {"binary", "multiclass", "regression"}),
        ("label:\n  absent: |\n", {"negative", "drop", "error"}),
        ("sources:\n  rows:\n    role: |\n", {"rows", "features", "labels", "predictions", "holdout"}),
        ("triggers:\n  weekly:\n    then: |\n", {"retrain", "alert", "rollback"}),
    ],
)
def test_the_values_of_a_list_are_offered(server: LanguageServer, text: str, values: set[str]) -> None:
    assert offered(server, text) == values


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("ow|ner: me\n", "owner"),
        ("training:\n  time|out: 3h\n", "training.timeout"),
        ("promotion:\n  gat|es: {}\n", "promotion.gates"),
        ("retraining:\n  holdout:\n    ti|me: 7d\n", "retraining.holdout.time"),
    ],
)
def test_a_key_shows_its_description(server: LanguageServer, text: str, path: str) -> None:
    part: Any = schema()
    for key in path.split("."):
        there = inner(part, key)
        part = resolved(there, schema())
        description = there.get("description", part.get("description"))

    # The server writes Markdown; these descriptions have nothing to escape.
    assert server.hover(BUFFER, *at_cursor(text)).startswith(description)
