"""Texts that would not reach a container of a PipelineSpec as they are, whichever service runs it.

Servers fill placeholders in words and documents, read some words as structures of their own, and replace references to
variables as Kubernetes does; nothing escapes any of these, so a spec that holds one is refused with its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ctc.compiler.ir import Step
from ctc.diagnostics import Diagnostic, Severity
from ctc.value import Value, frozen


@frozen
class Limit(Value):
    """A number of a service, where it is written, and the month in which that was read.

    `said` is a sentence of the source; empty where the source states the number in code or a table, and its words were
    not at hand. `field` is where a discovery document says it, `service.version:Schema.property`; empty for another
    source.
    """

    value: int
    source: str
    as_of: str = "2026-11"
    said: str = ""
    field: str = ""


@frozen
class Service(Value):
    """Who passes the texts on. `reserved` are texts that it replaces beside placeholders, each with what it is."""

    name: str
    reserved: tuple[tuple[str, str], ...] = ()


ARGUMENT_BYTES = Limit(
    131_072,
    "Linux, execve(2): one word of a command line",
    said="MAX_ARG_STRLEN (defined as the constant value 131072)",
)

_KUBERNETES_VARIABLE = re.compile(r"\$\([A-Za-z_][A-Za-z0-9_.-]*\)")
_STRUCTURES = ('{"Concat": ', '{"IfPresent": ')
_INSTEAD = "write the text in another way, or put it into a file of training.code"


def words(step: Step, service: Service) -> Iterator[Diagnostic]:
    for word in (*step.apply, *step.argv):
        reason = _misread(word, service)
        if reason:
            message = f"{service.name} would not pass on the word {_shown(word)}: {reason}"
            yield _error("CT315", message, step.origin, _INSTEAD)
        if len(word.encode()) >= ARGUMENT_BYTES.value:
            yield _error(
                "CT316",
                f"a word of the command is {len(word.encode())} bytes, Linux takes {ARGUMENT_BYTES.value - 1}",
                step.origin,
                "put the text into a file of training.code",
            )


def environment(step: Step, service: Service) -> Iterator[Diagnostic]:
    for name, value in step.environment:
        reason = _misread(value, service)
        if reason:
            yield _error(
                "CT315",
                f"{service.name} would not pass on the variable {name} of the environment: {reason}",
                "training.hyperparameters" if name == "CTC_HYPERPARAMETERS" else step.origin,
                _INSTEAD,
            )


def document(step: Step, written: str, service: Service) -> Iterator[Diagnostic]:
    """The document is data: only the server's own placeholders are replaced in it. `written` is its JSON."""
    if step.document is None:
        return
    if _replaced(written, service):
        # The section of training repeats commands and hyperparameters, which are reported where they were written.
        sections = {name: part for name, part in step.document["policy"].items() if name != "training"}
        for text in _strings({**step.document, "policy": sections}):
            if not _replaced(text, service):
                continue
            message = f"{service.name} would not pass on the text {_shown(text)}: {_misread(text, service)}"
            yield _error("CT315", message, step.origin, _INSTEAD)
    size = len(written)
    if size > ARGUMENT_BYTES.value // 2:
        yield _error(
            "CT316",
            f"the document of step `{step.name}` is {size} bytes, and {service.name} hands it over as one word of a "
            "command",
            step.origin,
            f"make the longest lists of this section shorter: {ARGUMENT_BYTES.value // 2} bytes fit",
        )


def _replaced(text: str, service: Service) -> bool:
    return "{{$" in text or any(word in text for word, _ in service.reserved)


def _error(code: str, message: str, path: str, help: str) -> Diagnostic:
    return Diagnostic(code, Severity.ERROR, message, path, help=help)


def _misread(text: str, service: Service) -> str:
    """Why a text would not arrive as it is; empty if it would."""
    if "{{$" in text:
        return f"`{{{{$` starts a placeholder of {service.name}, and nothing escapes it"
    if text.startswith(_STRUCTURES):
        return f"{service.name} reads it as one of its own structures"
    if _KUBERNETES_VARIABLE.search(text):
        return "Kubernetes replaces `$(NAME)` by a variable of the container"
    return next((f"`{word}` is {what}" for word, what in service.reserved if word in text), "")


def _shown(text: str) -> str:
    return json.dumps(text if len(text) <= 60 else f"{text[:57]}...", ensure_ascii=False)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
