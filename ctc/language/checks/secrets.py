"""Secrets that stand in a spec, wherever: also in patches of environments and in variables. No value is repeated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ctc.language.checks import Finding, Tree, check_tree

_SHAPES = re.compile(
    r"(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|AIza[0-9A-Za-z_-]{35}"
    r"|gh[pousr]_[0-9A-Za-z]{36}"
    r"|github_pat_[0-9A-Za-z_]{22,}"
    r"|xox[abeprs]-[0-9A-Za-z-]{10,}"
    r"|eyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|hooks\.slack\.com/services/\w"
    r"|://[^/\s:@{}$<]+:(?![${<*])[^/\s@]+@"
    r"|\bhf_[0-9A-Za-z]{30,}"
    r"|\bglpat-[0-9A-Za-z_-]{20,}"
    r"|\bsk-(?:ant-|proj-)?[0-9A-Za-z_-]{32,}"
    r"|(?i:\bAccountKey=[0-9A-Za-z+/]{20,})"
    r"|[?&](?:sig|X-Amz-Signature)=[0-9A-Za-z%+/]{20,}"
    r"|(?i:\bbearer\s+(?![${<])[0-9A-Za-z._~+/-]{16,})"
    r"|(?i:(?<![a-z])(?:password|passwd|secret|api[_-]?key|access[_-]?key|token)=(?![${<%/.])[^\s'\"]{6,})"
)
"""The published prefixes of keys and tokens, credentials in URLs, and `password=...`."""

_SECRET_KEY = re.compile(
    r"(?i)(?:(?:password|passwd|passphrase|secret)|(?:^|[_-])(?:pwd|api_?key|access_?key|private_?key|credentials?))$"
)
_TOKEN_KEY = re.compile(r"(?i)(?:^|[_-])token$")
_FLAG = re.compile(r"(?i)--?(?:[\w-]+[-_])?(?:password|passwd|passphrase|secret|pwd|api[-_]?key|access[-_]?key|token)")
_NO_SECRET = re.compile(r"[${<%*]|[./~]|[a-z]+://[^@]*$|arn:|projects/|-")
"""What stands for a secret: a placeholder, a file, an address in a secret store, the next flag."""

_REPLACE = "then replace it, since whoever reads this file has it"

_FREE = ("env", "hyperparameters", "variables")
"""Maps whose keys are the user's, so that a key can be called after a secret that its value is."""


# As many as values in the file: a generated `__init__` pays.
@dataclass(frozen=True)
class _Text:
    """A text of the tree; `key` is the user's own name of it, or the flag before it in a command."""

    path: str
    value: str
    key: str = ""
    flag: bool = False


@check_tree("CT501", "a secret in plain text")
def no_secrets(tree: Tree) -> Iterator[Finding]:
    told: dict[str, set[str]] = {}
    kept: list[str] = []
    for item in _in_order(tree):
        patched = _patched(item.path)
        # A patch has come to its place, and a variable to where it is used: one secret is one finding.
        if item.value in told.get(patched, ()) or any(value in item.value for value in kept):
            continue
        finding = _finding(item)
        if finding is None:
            continue
        told.setdefault(patched, set()).add(item.value)
        if patched.startswith(("variables.", "matrix.")):
            kept.append(item.value)
        yield finding


def _in_order(tree: Tree) -> Iterator[_Text]:
    """Every text of the tree: patches first, then variables, then what is made of them."""
    first = {key: tree[key] for key in ("environments", "targets", "variables", "matrix") if key in tree}
    yield from _texts(first, "")
    yield from _texts({key: value for key, value in tree.items() if key not in first}, "")


def _patched(path: str) -> str:
    """Where a value stands once patches are merged."""
    head, _, rest = path.partition(".")
    if head == "environments":
        return _patched(rest.partition(".")[2])
    variables = rest.partition(".")[2]
    return variables if head == "targets" and variables.startswith("variables.") else path


def _texts(value: Any, path: str) -> Iterator[_Text]:
    parts = path.split(".")
    if isinstance(value, Mapping):
        free = parts[-1] in _FREE or _patched(path).startswith("matrix")
        for key, item in value.items():
            inner = f"{path}.{key}" if path else str(key)
            if isinstance(item, str):
                yield _Text(inner, item, str(key) if free else "")
            else:
                yield from _texts(item, inner)
    elif isinstance(value, list | tuple):
        before = ""
        for index, item in enumerate(value):
            if isinstance(item, str):
                yield _Text(f"{path}.{index}", item, before, flag=True)
                before = item if _FLAG.fullmatch(item) else ""
            else:
                yield from _texts(item, f"{path}.{index}")


def _finding(item: _Text) -> Finding | None:
    if item.path.endswith((".sql.expression", ".regex")):
        return None
    if _SHAPES.search(item.value) is not None or (not item.flag and _is_called_secret(item)):
        return Finding(item.path, f"`{item.path}` looks as if it held a secret", _advice(item.path))
    if item.flag and item.key and _could_be(item.value):
        return Finding(
            item.path, f"`{item.path}`, after `{item.key}`, looks as if it held a secret", _advice(item.path)
        )
    return None


def _is_called_secret(item: _Text) -> bool:
    if _SECRET_KEY.search(item.key):
        return _could_be(item.value)
    # Words such as `pad_token: "<pad>"` are hyperparameters of language models.
    mixed = any(sign.isdigit() for sign in item.value) and any(sign.isalpha() for sign in item.value)
    return _TOKEN_KEY.search(item.key) is not None and len(item.value) >= 12 and mixed and _could_be(item.value)


def _could_be(value: str) -> bool:
    return bool(value) and not any(sign.isspace() for sign in value) and _NO_SECRET.match(value) is None


def _advice(path: str) -> str:
    place = _patched(path)
    # Written without a colon after "secret", which a report would take for one.
    if place.endswith(".secret") and not place.startswith(("training.hyperparameters.", "variables.")):
        return f"write the name that it has in the target's secret store; {_REPLACE}"
    if place.startswith(("training.", "variables.", "prepare.", "serving.", "evaluation.")):
        return f"keep it in the target's secret store, and let `training.env` refer to it by `secret`; {_REPLACE}"
    return f"give the step's role the access that it needs; {_REPLACE}"
