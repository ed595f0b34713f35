"""The fidelity table: how one target carries each feature that a system uses. Part of every bundle."""

from __future__ import annotations

from collections.abc import Mapping

from ctc.compiler.bundle import Artifact, as_json
from ctc.compiler.ir import System
from ctc.compiler.target import Capability

_LEGEND = (
    "native: the service does it itself. emulated: done by other means, with the difference told. "
    "not yet: compiled, but refused when it is run."
)
_NOT_YET = "this version checks and compiles it, and its steps refuse to run a spec that asks for it"


def fidelity_files(system: System, capabilities: Mapping[str, Capability]) -> tuple[Artifact, Artifact]:
    """`FIDELITY.md` for people and `fidelity.json` for programs, in the order of a bundle's files.

    One row per used feature, sorted by feature, with every place of the spec that asks for it. A feature without a
    capability raises `KeyError`: the target's table is incomplete.
    """
    places: dict[str, list[str]] = {}
    for feature, origin in system.features:
        places.setdefault(feature, []).append(origin)
    rows = [
        {
            "feature": feature,
            "support": capabilities[feature].support.value,
            "reason": capabilities[feature].reason,
            "used_by": sorted(origins),
        }
        for feature, origins in sorted(places.items())
    ]
    if system.gaps:
        rows.append({"feature": "language", "support": "not yet", "reason": _NOT_YET, "used_by": list(system.gaps)})
    return (
        Artifact("FIDELITY.md", _table(system, rows).encode()),
        Artifact("fidelity.json", as_json({"version": 1, "target": system.target, "features": rows})),
    )


def _table(system: System, rows: list[dict[str, str | list[str]]]) -> str:
    lines = [
        f"# How {system.target} carries `{system.name}`",
        "",
        _LEGEND,
        "",
        "| feature | support | how, and what differs | asked for by |",
        "|---|---|---|---|",
    ]
    for row in rows:
        used = ", ".join(f"`{origin}`" for origin in row["used_by"])
        lines.append(f"| `{row['feature']}` | {row['support']} | {_cell(str(row['reason']))} | {used} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
