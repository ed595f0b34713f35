"""Laws of `ctc diff`: what reaches an artifact or a decision shows, and what is only written differently never does.

Specs are those of `specs/`. A mutant that the language refuses, or that a target does, counts as no example.
"""

from __future__ import annotations

import json
import re
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from ctc import targets
from ctc.compiler.build import build
from ctc.diff.changes import changes_between
from ctc.diff.meaning import Kind, Level
from ctc.diff.resources import _CONTENTS
from ctc.language.load import load_each
from ctc.language.source import Document, parse, read
from ctc.language.spans import Path as Place

SPECS = sorted((Path(__file__).resolve().parent.parent.parent / "specs").glob("*.yaml"))
FEW = settings(
    max_examples=18,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
MANY = settings(FEW, max_examples=1500)


@cache
def document(spec: Path) -> Document:
    return read(spec)


def leaves(value: Any, path: Place = ()) -> list[Place]:
    """The places of all values that have none below them, and those of maps and lists."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += leaves(item, (*path, index))
    return found


def at(value: Any, path: Place) -> Any:
    for key in path:
        value = value[key]
    return value


def mutated(data: Any, draw: Any) -> Any:
    """The tree with one value changed, or one thing taken out."""
    tree = json.loads(json.dumps(data))
    path = draw(st.sampled_from(leaves(tree)))
    holder, old = at(tree, path[:-1]), at(tree, path)
    if isinstance(old, dict | list) or (draw(st.booleans()) and draw(st.booleans())):
        del holder[path[-1]]
    elif isinstance(old, bool):
        holder[path[-1]] = not old
    elif isinstance(old, int | float):
        holder[path[-1]] = draw(st.sampled_from([old + 1, old * 2, old / 2, -old]))
    else:
        number = re.search(r"\d+", old)
        other = draw(st.sampled_from(["x", "act", "observe", "ks", "psi", "warn", "drop", "champion", "alert"]))
        grown = old[: number.start()] + str(int(number[0]) + 1) + old[number.end() :] if number else f"{old}x"
        holder[path[-1]] = draw(st.sampled_from([grown, other]))
    return tree


def compiled(spec: Document) -> dict[tuple[str, ...], bytes] | None:
    """Every file of every environment, row and target without digests; None for a spec with errors."""
    found: dict[tuple[str, ...], bytes] = {}
    for target in spec.data.get("targets", {}):
        for loaded in load_each(spec, None, target)[0]:
            if loaded.spec is None:
                return None
            built = build(loaded.spec, targets.load(target))
            if built.bundle is None:
                return None
            for artifact in built.bundle.artifacts:
                digest = built.system.spec_digest
                content = artifact.content
                for length in (64, 63, 12):
                    content = content.replace(digest[:length].encode(), b"DIGEST")
                content = _CONTENTS.sub(b"support/CONTENTS/", content.replace(b'"DIGEST"', b"DIGEST"))
                place = (target, loaded.spec.environment, loaded.spec.row, artifact.path)
                found[place] = content
    return found


@cache
def compiled_once(spec: Path) -> dict[tuple[str, ...], bytes]:
    found = compiled(document(spec))
    assert found is not None
    return found


def what_reaches_an_artifact_shows(data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(SPECS))
    changed = mutated(document(spec).data, data.draw)
    # The same order of keys, so that only the value is another one.
    head = parse(json.dumps(changed), "head.yaml")
    assume(isinstance(head.data, dict))
    found = compiled(head)
    assume(found is not None)

    changes = changes_between(document(spec), head)

    assert bool(changes) is (changed != document(spec).data or type_differs(changed, document(spec).data))
    if found != compiled_once(spec):
        assert changes, "files differ, and nothing is told"
        silent = (
            "every environment overrides",
            "nothing that is compiled changes",
            "the default, written",
            "the same value results",
        )
        told = [change for change in changes if not change.meaning.why.startswith(silent)]
        assert told, "files differ, and it is said that nothing changes"


def type_differs(one: Any, other: Any) -> bool:
    """`1` and `1.0`, or `true` and 1: equal to Python, and other bytes in a file."""
    return json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True)


test_what_reaches_an_artifact_shows = FEW(given(st.data())(what_reaches_an_artifact_shows))
test_what_reaches_an_artifact_shows_in_full = pytest.mark.soak(MANY(given(st.data())(what_reaches_an_artifact_shows)))


def rewritten(value: Any, draw: Any, indent: int = 0, *, shuffle: bool = True) -> str:
    """The value as YAML in another style: flow or block, quoted or not, keys in another order, comments between."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        keys = list(value)
        if shuffle:
            keys = draw(st.permutations(keys))
        if indent and draw(st.booleans()):
            return "{" + ", ".join(f"{quoted(key, draw)}: {flow(value[key], draw)}" for key in keys) + "}"
        lines = []
        for key in keys:
            inner = value[key]
            text = rewritten(inner, draw, indent + 1, shuffle=shuffle)
            comment = draw(st.sampled_from(["", "", "", "  # as agreed", "  # {x: 1}"]))
            block = isinstance(inner, dict | list) and text.startswith("\n")
            lines.append(f"{pad}{quoted(key, draw)}:{comment if block else ''}{text if block else f' {text}{comment}'}")
        return ("\n" if indent else "") + "\n".join(lines)
    if isinstance(value, list) and value and draw(st.booleans()):
        return "\n" + "\n".join(f"{pad}- {flow(item, draw)}" for item in value)
    return flow(value, draw)


def flow(value: Any, draw: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key, draw)}: {flow(item, draw)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item, draw) for item in value) + "]"
    return quoted(value, draw) if isinstance(value, str) else json.dumps(value)


def quoted(text: str, draw: Any) -> str:
    """Plain, in double or in single quotes; a duration in another unit."""
    days = re.fullmatch(r"(\d+)d", text)
    if days and draw(st.booleans()):
        hours = int(timedelta(days=int(days[1])).total_seconds()) // 3600
        text = draw(st.sampled_from([f"{hours}h", f"P{days[1]}D", f"{hours * 60}m"]))
    styles = [json.dumps(text, ensure_ascii=False), "'" + text.replace("'", "''") + "'"]
    if re.fullmatch(r"[a-z]\w*", text) and text not in ("true", "false", "null", "no", "on", "off", "yes", "y", "n"):
        styles.append(text)
    return draw(st.sampled_from(styles))


def writing_differently_is_nothing(data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(SPECS))
    text = rewritten(document(spec).data, data.draw)
    head = parse(f"# written anew\n{text}\n", "head.yaml")
    assert not head.diagnostics, head.diagnostics

    assert changes_between(document(spec), head) == ()


test_writing_differently_is_nothing = FEW(given(st.data())(writing_differently_is_nothing))
test_writing_differently_is_nothing_in_full = pytest.mark.soak(MANY(given(st.data())(writing_differently_is_nothing)))


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_a_spec_is_as_itself(spec: Path) -> None:
    assert changes_between(read(spec), document(spec)) == ()


@pytest.mark.parametrize(
    ("was", "now"),
    [("min: 0.6}}", "min: 0.60}}"), ("timeout: 2h", "timeout: 120m"), ("0 6 * * *", "0 6 * * *")],
)
def test_the_same_number_is_nothing(was: str, now: str) -> None:
    text = next(path for path in SPECS if path.stem == "everywhere").read_text(encoding="utf-8")
    head = parse(text.replace(was, now), "head.yaml")

    assert changes_between(parse(text, "base.yaml"), head) == ()


def test_a_whole_number_with_a_point_is_told_as_what_it_is() -> None:
    text = next(path for path in SPECS if path.stem == "matrix").read_text(encoding="utf-8")
    [change] = changes_between(parse(text), parse(text.replace("max: 24", "max: 24.0")))

    assert (change.kind, change.level) == (Kind.COSMETIC, Level.LOW)
