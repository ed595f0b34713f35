"""Names, images, and values that should not stand in a spec."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from ctc.diagnostics import Severity
from ctc.language.checks import Finding, check
from ctc.language.spec import Spec

MAX_NAME = 40
"""With what targets append (pipeline, step and resource suffixes), the shortest limit of a service is 63."""

_SECRET = re.compile(
    r"AKIA[0-9A-Z]{16}"
    r"|gh[pousr]_[0-9A-Za-z]{36}"
    r"|xox[abprs]-[0-9A-Za-z-]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|hooks\.slack\.com/services/"
    r"|://[^/\s:@]+:[^/\s@]+@"
    r"|(?i:\b(?:password|passwd|secret|api_?key|access_?key|token)=\S)"
)
_SECRET_NAME = re.compile(r"(?i)(?:^|_)(?:password|passwd|secret|api_?key|access_?key|token|credentials?)$")


@check("CT230", "a name that is too long for what targets append")
def names_are_short(spec: Spec) -> Iterator[Finding]:
    name = spec.deployed_name
    if len(name) > MAX_NAME:
        suffix = "" if name == spec.name else f", with the environment's suffix (`{name}`)"
        yield Finding("name", f"the name has {len(name)} characters{suffix}; {MAX_NAME} are the most", "shorten it")


@check("CT501", "a value that looks like a secret")
def no_secrets(spec: Spec) -> Iterator[Finding]:
    advice = "keep secrets out of the spec: give the step's role the access that it needs"
    for path, text in _texts({"sources": _by_name(spec), "training": asdict(spec.training), "targets": spec.targets}):
        # The value itself is not repeated.
        if _SECRET.search(text):
            yield Finding(path, f"`{path}` looks as if it held a secret", advice)
    for name, value in spec.training.hyperparameters.items():
        path = f"training.hyperparameters.{name}"
        if _SECRET_NAME.search(name) and isinstance(value, str) and value and not _SECRET.search(value):
            yield Finding(path, f"`{path}` looks as if it held a secret", advice)


@check("CT502", "an image that is not fixed by its digest", Severity.WARNING)
def images_are_fixed(spec: Spec) -> Iterator[Finding]:
    for path, image in (("runtime.image", spec.runtime_image), ("training.image", spec.training.image)):
        if "@sha256:" not in image:
            tag = image.rsplit("/", 1)[-1].partition(":")[2]
            what = f"the tag `{tag}` can move" if tag else "an image without tag or digest is `latest`"
            message = f"{what}: the same spec may run other code tomorrow"
            yield Finding(path, message, "write the image with its digest, NAME@sha256:...")


@check("CT503", "an image digest that is none")
def digests_are_whole(spec: Spec) -> Iterator[Finding]:
    for path, image in (("runtime.image", spec.runtime_image), ("training.image", spec.training.image)):
        digest = image.partition("@sha256:")[2]
        if "@sha256:" in image and not re.fullmatch("[0-9a-f]{64}", digest):
            message = f"a sha256 digest has 64 hexadecimal digits, this one has {len(digest)} characters"
            yield Finding(path, message, "copy the digest that the registry shows")


def _by_name(spec: Spec) -> dict[str, object]:
    return {source.name: asdict(source) for source in spec.sources}


def _texts(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}.{index}")
