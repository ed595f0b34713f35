"""What a target's service says of what an administrator makes for a spec: all of `ctc doctor` that asks a service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ctc import targets
from ctc.compiler.build import build
from ctc.deploy.inspect import Finding
from ctc.diagnostics import CtcError
from ctc.language.load import FIRST_ROW, load_spec
from ctc.language.render import rows_of
from ctc.language.source import read


def asked(path: Path, environment: str | None, target: str) -> Iterator[Finding]:
    """What stands in the service, thing by thing; of a matrix, for its first row. Nothing that is wrong raises."""
    if target not in targets.INSPECTED:
        cause = f"this version asks {', '.join(targets.INSPECTED)} only, and not yet {target}"
        yield Finding(
            "skip", "deploy", cause, "ctc bootstrap says what must be there: look with the service's own tools"
        )
        return
    document = read(path)
    spec = load_spec(document, environment, target, FIRST_ROW if rows_of(document) else None).spec
    built = None if spec is None else build(spec, targets.load(target))
    if built is None or built.bundle is None:
        yield Finding("fail", "deploy", "the spec does not compile", f"ctc validate {path} --target {target}")
        return
    try:
        yield from targets.load_inspection(target)(built.system, built.bundle)
    except CtcError as error:
        yield Finding("fail", "deploy", error.message, error.help)
