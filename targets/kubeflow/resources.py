"""What runs the wake pipeline: the body of `POST /apis/v2beta1/recurringruns`."""

from __future__ import annotations

from typing import Any

from ctc.compiler.ir import System


def recurring_run(system: System) -> dict[str, Any]:
    """Wakes every `wake_every`. Deploying adds the experiment and the pipeline version, which only a server can name.

    A period and not a cron: Kubeflow's crons have six fields, one zone per cluster, and shift five fields without a
    word. 64-bit integers are strings, as JSON of protocol buffers writes them.
    """
    return {
        "display_name": system.wake.name,
        "description": f"wakes {system.name} (ctc, spec {system.spec_digest[:12]})",
        "mode": "ENABLE",
        # What was missed while the cluster was down is seen by one wake: it reads the whole state.
        "no_catchup": True,
        "max_concurrency": "1",
        "trigger": {"periodic_schedule": {"interval_second": str(int(system.wakes.every.total_seconds()))}},
        "runtime_config": {
            "parameters": {parameter.name: parameter.default or "" for parameter in system.wake.parameters},
            "pipeline_root": f"{system.root}/artifacts",
        },
    }
