"""What an administrator must have made before a deploy, looked at: `targets/NAME/inspect.py` beside its hands.

A target that can be asked has there one function, and its name in `ctc.targets.INSPECTED`:

    def inspect(system: System, bundle: Bundle) -> Iterator[Finding]

It changes nothing. What it may not look at is a finding of its own (`skip`, with the right that is missing) and stops
nothing else. It raises CtcError only where nothing can be asked at all, for instance if the vendor's SDK is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    `place` is what, as its service calls it (`bucket/acme-ct`); `cause` what is so of it; `advice` what to do, the
    command of the bundle's BOOTSTRAP.md where there is one, and empty where all is well. `fail`: a deploy or its runs
    would fail; `warn`: they would not, and somebody should know; `skip`: it cannot be told with these rights.
    """

    status: Literal["ok", "warn", "fail", "skip"]
    place: str
    cause: str
    advice: str = ""
