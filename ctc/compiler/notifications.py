"""The section `notifications` of the step document: the channels, in the order of the spec."""

from __future__ import annotations

from typing import Any

from ctc.language.spec import Secret, Spec


def section(spec: Spec) -> dict[str, Any]:
    """Secrets stay references: their values are looked up where a message is sent."""
    return {
        "channels": [
            {
                "name": channel.name,
                "kind": channel.kind,
                "arguments": {key: _argument(value) for key, value in channel.arguments.items()},
                "events": list(channel.events),
            }
            for channel in spec.notifications
        ]
    }


def _argument(value: Any) -> Any:
    if isinstance(value, Secret):
        return {"secret": value.secret}
    return list(value) if isinstance(value, tuple) else value
