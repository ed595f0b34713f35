"""Wrong specs by the thousand, each from its seed: specs with their trees or their bytes mutated."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ctc.language.based import inner, resolved
from ctc.language.shape import schema
from ctc.language.source import read

ROOT = Path(__file__).resolve().parent.parent
SPECS = sorted((ROOT / "specs").glob("*.yaml"))
RECORDED = sorted([*(ROOT / "tests" / "ok").glob("*.yaml"), *(ROOT / "tests" / "err").glob("CT[2-9]*.yaml")])
"""Specs of the right shape, most of them wrong in what they mean: near these, the checks of meaning have work."""

TEXTS = {path: path.read_bytes() for path in (*SPECS, *RECORDED)}
TREES: dict[Path, Any] = {path: data for path in TEXTS if isinstance(data := read(path).data, dict)}

Path_ = tuple[str | int, ...]
Mutant = tuple[str, bytes]
"""The file that the bytes are read as, beside which a matrix finds its table; and the bytes."""

UNITS: dict[str, tuple[Any, ...]] = {
    "duration": ("0d", "1s", "30m", "6h", "90d", "2w", "1h30m", "P14D", "PT6H", "36525d", "36526d", "0w0d", "1m1h"),
    "latency": ("1ms", "25ms", "1.5s", "3600s", "0ms", "3601s"),
    "rate": ("200/s", "30/m", "5/h", "1/d", "0/s", "1000000001/s"),
    "size": ("1", "512Mi", "64Gi", "200MB", "1.5T", "0", "8192Pi", "0.1"),
    "share": ("5%", "0%", "100%", "101%", "97.5%", 0, 1, 0.05, 0.0, 1.0, -0.1, 1e-300),
    "money": ("45 USD", "45.50", "0", 45, 0, 1e14, "999999999999999 EUR", -1),
    "instant": ("2024-01-01", "2024-02-30", "2024-01-01T06:00:00Z", "2024-01-01T06:00:00+05:30", "9999-12-31"),
}
ODDITIES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e308, 5e-324, 10**17, 10**18, -(10**400), "", " ", "x", "~", "null",
    "on", "no", "1_0", "0o7", "012", "1:30", ".inf", ".nan", "0d", "5%", "64Gi", "25ms", "200/s", "45 USD",
    "2024-02-30", "${var.x}", "${var.lake}", "${matrix.market}", "${var.}", "${", "{hp.x}", "{train}", "{x}", "{", "}",
    "a.b", "7", "*", "* * * * *", "0 25 * * *", "0 0 30 2 *", "CRON_TZ=x 0 0 * * *", "9" * 400, "x" * 5000, "\u2028",
    "\u0085", "\ufeff", "é🙂", "e\u0301", "\u202e", "\x00", "\x1b[31m", "\t", "a\nb\n", "\n", "none", "auto", "<<", "=",
    "Etc/Nowhere", "../..", "s3://", "s3://a/b?c=d#e", "registry.example/x:latest", "password: hunter2",
    "# ctc: ignore[CT101] x", [], [None], [[]], {}, {"x": {}}, {"": ""}, [[["x"]]], {"schedule": {}, "manual": {}},
    {"a.b": 1}, ["x"] * 300, {f"k{number}": number for number in range(40)},
)  # fmt: skip
WORDS = (
    "x",
    "on",
    "y",
    "",
    "a.b",
    "7",
    "<<",
    "null",
    "é",
    "x" * 300,
    "A",
    "-",
    "environments",
    "schedule",
    "\u2028",
    "a b",
)
DEEP = (3, 20, 60, 64, 70)


def tree_mutant(draw: random.Random) -> Mutant:
    """A spec whose tree had one to four changes, written by a library that knows nothing of specs."""
    path = _seed(draw)
    tree = copy.deepcopy(TREES[path])
    for _ in range(draw.choice((1, 1, 1, 2, 2, 3, 4))):
        _change(tree, draw)
    text = yaml.dump(
        tree,
        Dumper=yaml.CSafeDumper,
        allow_unicode=draw.random() < 0.7,
        sort_keys=draw.random() < 0.2,
        width=draw.choice((20, 120, 10_000)),
        default_flow_style=draw.choice((False, False, False, None, True)),
    )
    return str(path), text.encode("utf-8", errors="surrogatepass")


def byte_mutant(draw: random.Random) -> Mutant:
    """A spec whose bytes or lines had one to six accidents."""
    path = _seed(draw)
    content = bytearray(TEXTS[path])
    for _ in range(draw.choice((1, 1, 2, 2, 3, 6))):
        draw.choice(_ACCIDENTS)(content, draw)
    return str(path), bytes(content)


def _seed(draw: random.Random) -> Path:
    path = draw.choice(RECORDED if draw.random() < 0.3 else SPECS)
    return path if path in TREES else draw.choice(SPECS)


def _nodes(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """The path of every node but the root."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from _nodes(item, (*path, key))


def _found(tree: Any, path: Path_) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _change(tree: Any, draw: random.Random) -> None:
    places = list(_nodes(tree))
    if not places:
        tree["x"] = "x"
        return
    path = draw.choice(places)
    node, key = _found(tree, path[:-1]), path[-1]
    part = _part(path)
    match draw.randrange(12):
        case 0:
            del node[key]
        case 1:
            node[key] = copy.deepcopy(draw.choice(ODDITIES))
        case 2 if isinstance(node, dict):
            siblings = list(_part(path[:-1]).get("properties", {}))
            node[draw.choice([*WORDS, *siblings, f"{key}s", str(key)[1:]])] = node.pop(key)
        case 3 if len(path) < 20:
            node[key] = copy.deepcopy(_elsewhere(tree, draw))
        case 4 if len(path) < 20:
            node[key] = _nested(node[key], draw.choice(DEEP), draw.random() < 0.5)
        case 5 if isinstance(node, list):
            node.extend(copy.deepcopy(node[: draw.randint(1, 3)]))
        case 6 | 7:
            node[key] = _meant(part, draw)
        case _:
            _add(tree, path, draw)


def _add(tree: Any, path: Path_, draw: random.Random) -> None:
    """A key that the language has and that is not there, or one more entry of a map of names, with a fitting value."""
    while path and not isinstance(_found(tree, path), dict):
        path = path[:-1]
    node, part = _found(tree, path), _part(path)
    absent = [key for key in part.get("properties", {}) if key not in node]
    if isinstance(part.get("additionalProperties"), dict):
        key = draw.choice(("more", *WORDS))
        node[key] = _meant(inner(part, key), draw)
    elif absent:
        key = draw.choice(absent)
        node[key] = _meant(part["properties"][key], draw)


def _elsewhere(tree: Any, draw: random.Random) -> Any:
    """Some value of this spec or of another one."""
    donor = tree if draw.random() < 0.5 else TREES[draw.choice(SPECS)]
    return _found(donor, draw.choice(list(_nodes(donor)) or [()]))


def _nested(value: Any, depth: int, in_lists: bool) -> Any:
    for _ in range(depth):
        value = [value] if in_lists else {"x": value}
    return value


def _part(path: Path_) -> Mapping[str, Any]:
    """What the schema says of a place; in an environment's patch, what it says of the patched place."""
    if path[:1] == ("environments",) and len(path) > 1:
        path = path[2:]
    part: Mapping[str, Any] = schema()
    for key in path:
        part = resolved(part, schema())
        below = inner(part, key) if isinstance(key, str) else part.get("items", {})
        part = below if isinstance(below, dict) else {}
    return resolved(part, schema())


def _meant(part: Mapping[str, Any], draw: random.Random, depth: int = 4) -> Any:
    """A value that the schema takes, or nearly."""
    examples = part.get("examples", ())
    part = resolved(part, schema())
    examples = [*examples, *part.get("examples", ())]
    if "const" in part or "enum" in part:
        return draw.choice(part.get("enum") or [part["const"]])
    if "x-unit" in part:
        return draw.choice(UNITS[part["x-unit"]])
    if examples and draw.random() < 0.6:
        return copy.deepcopy(draw.choice(examples))
    kinds = part.get("type", "string")
    kind = kinds if isinstance(kinds, str) else draw.choice(kinds)
    if kind == "object":
        return _meant_map(part, draw, depth) if depth else {}
    if kind == "array":
        return [_meant(part.get("items", {}), draw, depth - 1) for _ in range(draw.randint(1, 3) if depth else 0)]
    if kind == "boolean":
        return draw.random() < 0.5
    if kind in ("integer", "number"):
        whole = [part.get("minimum", 0), part.get("maximum", 1), 1, 2, 10, 1000]
        return draw.choice(whole if kind == "integer" else [*whole, 0.5, 0.95, 1e9, -3.5])
    return draw.choice(_names())


def _meant_map(part: Mapping[str, Any], draw: random.Random, depth: int) -> dict[str, Any]:
    known, needed = part.get("properties", {}), list(part.get("required", ()))
    optional = [key for key in known if key not in needed]
    if part.get("maxProperties") == 1 or "not" in part or "anyOf" in part or "dependentSchemas" in part:
        chosen = [draw.choice(optional)] if optional else []
    else:
        chosen = [key for key in optional if draw.random() < 0.3]
    made = {key: _meant(known[key], draw, depth - 1) for key in (*needed, *chosen) if key in known}
    if isinstance(part.get("additionalProperties"), dict):
        made |= {draw.choice(("one", "two", "auc")): _meant(part["additionalProperties"], draw, depth - 1)}
    return made


def _names() -> list[str]:
    """Words that stand in the specs: columns, sources, metrics, slices."""
    if not _NAMES:
        found = (_found(tree, path) for tree in TREES.values() for path in _nodes(tree))
        keys = (str(path[-1]) for tree in TREES.values() for path in _nodes(tree))
        _NAMES.extend(sorted({value for value in (*found, *keys) if isinstance(value, str) and len(value) < 30}))
    return _NAMES


_NAMES: list[str] = []


def _flip(content: bytearray, draw: random.Random) -> None:
    if content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)


def _replace(content: bytearray, draw: random.Random) -> None:
    if content:
        content[draw.randrange(len(content))] = draw.choice(b"\t\n\r :-#&*!|>'\"%@`{}[],?~<=0a\x00\x7f\x80\xff")


def _insert(content: bytearray, draw: random.Random) -> None:
    at = draw.randint(0, len(content))
    content[at:at] = draw.choice(_SNIPPETS)


def _delete(content: bytearray, draw: random.Random) -> None:
    at = draw.randint(0, len(content))
    del content[at : at + draw.choice((1, 1, 2, 5, 30))]


def _truncate(content: bytearray, draw: random.Random) -> None:
    if draw.random() < 0.2:
        del content[draw.randint(0, len(content)) :]


def _duplicate(content: bytearray, draw: random.Random) -> None:
    at, to = draw.randint(0, len(content)), draw.randint(0, len(content))
    content[to:to] = content[at : at + draw.choice((1, 5, 40, 300))] * draw.choice((1, 1, 1, 30))


def _splice(content: bytearray, draw: random.Random) -> None:
    donor = TEXTS[draw.choice(SPECS)]
    at, source = draw.randint(0, len(content)), draw.randint(0, len(donor))
    length = draw.choice((5, 40, 300))
    content[at : at + length] = donor[source : source + length]


def _lines(content: bytearray, draw: random.Random) -> None:
    """A line deleted, doubled, moved, indented, joined to the next, or taken from another spec."""
    lines = bytes(content).split(b"\n")
    at = draw.randrange(len(lines))
    match draw.randrange(6):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2:
            lines.insert(draw.randint(0, len(lines) - 1), lines.pop(at))
        case 3:
            lines[at] = b" " * draw.randint(1, 4) + lines[at] if draw.random() < 0.5 else lines[at][2:]
        case 4:
            lines[at : at + 2] = [b"".join(lines[at : at + 2])]
        case _:
            lines.insert(at, draw.choice(TEXTS[draw.choice(SPECS)].split(b"\n")))
    content[:] = b"\n".join(lines)


def _breaks(content: bytearray, draw: random.Random) -> None:
    """All line ends of another kind, or a mark in front."""
    kind = draw.randrange(12)
    if kind == 0:
        content[:] = bytes(content).replace(b"\n", b"\r\n")
    elif kind == 1:
        content[:] = bytes(content).replace(b"\n", b"\r")
    elif kind == 2:
        content[:0] = b"\xef\xbb\xbf"
    elif kind == 3:
        content[:0] = b"\xff\xfe"


_SNIPPETS: tuple[bytes, ...] = (
    b" ", b"  ", b"\t", b"\n", b"\r", b"\r\n", b":", b": ", b"- ", b"#", b" #", b"&a ", b"*a", b"<<: *a\n", b"!!str ",
    b"!x ", b"|\n", b">-\n", b"'", b'"', b"{", b"}", b"[", b"]", b",", b"? ", b"---\n", b"...\n", b"%YAML 1.1\n", b"@",
    b"`", b"~", b"{{ x }}", b"${var.x}", b"${", b"\x00", b"\x07", b"\x1b[2J", b"\x85", b"\xc2\x85", b"\xe2\x80\xa8",
    b"\xef\xbb\xbf", b"\xff", b"\xed\xa0\x80", b"\xf0\x9f\x99\x82", "é".encode(), b"0", b"9" * 30, b"1_000", b"0o17",
    b"1:30", b".inf", b"e308", b" # ctc: ignore[CT101] why", b" # ctc: ignore[CT203]", b"# ctc: ignore",
    b"x: &a [*a]\n", b"\\", b'"\\ud800"', b'"\\x"', b"a: &a [x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\n", b"{" * 80,
    b"[" * 70, b"? [a]\n: b\n", b"\n  - - - -\n",
)  # fmt: skip

_ACCIDENTS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip, _replace, _replace, _insert, _insert, _delete, _delete, _truncate, _duplicate, _splice, _lines, _lines,
    _lines, _breaks,
)  # fmt: skip
