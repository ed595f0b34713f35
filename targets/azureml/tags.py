"""The tags by which everything that is made for a system is found, and paid for by its owner."""

from __future__ import annotations

from ctc.compiler.ir import System


def tags(system: System) -> dict[str, str]:
    """On jobs, schedules and models, and on the resources around them, where costs are grouped by them."""
    return {"ctc": system.name, "ctc_environment": system.environment, "ctc_spec_digest": system.spec_digest}
