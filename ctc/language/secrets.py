"""How a secret is called where it is a variable of an environment: on one machine, and inside a container."""

from __future__ import annotations

import re


def secret_variable(name: str) -> str:
    """`slack-oncall` is kept in `CTC_SECRET_SLACK_ONCALL`; `-`, `.` and `/` become `_`."""
    return "CTC_SECRET_" + re.sub(r"[-./]", "_", name).upper()
