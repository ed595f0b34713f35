"""The alarm that the platform raises when nothing has been trained for too long, also when no wake runs any more.

Cloud Monitoring's own absence conditions reach back a day, so a workflow asks the service for its jobs every hour and
fails when it finds none that is young enough; a policy alerts on that failure, and on a watch that itself went silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ctc.compiler.ir import System
from ctc.targets.vertex.events import jobs_url
from ctc.targets.vertex.pipeline import labels
from ctc.targets.vertex.schedules import parent

EVERY = "0 * * * *"
SILENCE = "10800s"
"""After three hours without a finished execution, the hourly watch is dead."""
_FINISHED = (
    'resource.type = "workflows.googleapis.com/Workflow" AND resource.labels.workflow_id = "{id}" '
    'AND metric.type = "workflows.googleapis.com/finished_execution_count"'
)


def watch_id(system: System) -> str:
    """The id of the workflow, and of the Cloud Scheduler job that starts it."""
    return f"{system.name}-staleness"


def staleness_seconds(system: System) -> float | None:
    """How old the last success may get; None where nothing watches."""
    for step in system.wake.steps():
        document: Mapping[str, Any] = step.document or {}
        found = document.get("policy", {}).get("triggers", {}).get("staleness")
        if found is not None:
            return float(found)
    return None


def watch(system: System, max_age: float) -> dict[str, Any]:
    """The workflow that fails when no train pipeline has ended well for `max_age` seconds.

    It asks the service itself for its jobs: it works also when no wake runs any more.
    """
    wanted = f'pipeline_name="{system.train.name}" AND state="PIPELINE_STATE_SUCCEEDED" AND end_time>"'
    steps = [
        {"since": {"assign": [{"limit": f"${{time.format(sys.now() - {int(max_age)})}}"}]}},
        {
            "ask": {
                "call": "http.get",
                "args": {
                    "url": jobs_url(system),
                    "query": {"filter": f"${{{_quoted(wanted)} + limit + {_quoted(chr(34))}}}", "pageSize": 1},
                    "auth": {"type": "OAuth2"},
                },
                "result": "found",
            }
        },
        {
            "judge": {
                "switch": [
                    {
                        "condition": '${"pipelineJobs" in found.body and len(found.body.pipelineJobs) > 0}',
                        "return": "fresh",
                    }
                ]
            }
        },
        {"alarm": {"raise": f"no run of {system.train.name} has ended well since the limit"}},
    ]
    return {"main": {"steps": steps}}


def scheduler_job(system: System, account: str) -> dict[str, Any]:
    """The body of `cloudscheduler.projects.locations.jobs.create`: starts the watch every hour."""
    where = f"{parent(system)}/workflows/{watch_id(system)}"
    return {
        "name": f"{parent(system)}/jobs/{watch_id(system)}",
        "description": f"Asks every hour whether {system.name} was trained lately (ctc).",
        "schedule": EVERY,
        "timeZone": "Etc/UTC",
        "attemptDeadline": "60s",
        "retryConfig": {"retryCount": 3},
        "httpTarget": {
            "uri": f"https://workflowexecutions.googleapis.com/v1/{where}/executions",
            "httpMethod": "POST",
            "oauthToken": {"serviceAccountEmail": account},
        },
    }


def alert_policy(system: System, max_age: float) -> dict[str, Any]:
    """The body of `monitoring.projects.alertPolicies.create`; whoever deploys adds notification channels."""
    finished = _FINISHED.replace("{id}", watch_id(system))
    aggregation = {"alignmentPeriod": "3600s", "perSeriesAligner": "ALIGN_SUM", "crossSeriesReducer": "REDUCE_SUM"}
    return {
        "displayName": f"{system.name}: no run has ended well for {max_age / 86400:g} days",
        "combiner": "OR",
        "enabled": True,
        "severity": "WARNING",
        "userLabels": labels(system),
        "documentation": {
            "mimeType": "text/markdown",
            "content": f"Look at the runs of `{system.train.name}` and `{system.wake.name}`, and at their schedules: "
            "an alarm without a failed run means that nothing starts them.",
        },
        "conditions": [
            {
                "displayName": "the watch found no run that is young enough",
                "conditionThreshold": {
                    "filter": f'{finished} AND metric.labels.status = "FAILED"',
                    "aggregations": [aggregation],
                    "comparison": "COMPARISON_GT",
                    "thresholdValue": 0,
                    "duration": "0s",
                    "trigger": {"count": 1},
                },
            },
            {
                "displayName": "the watch itself no longer runs",
                "conditionAbsent": {"filter": finished, "aggregations": [aggregation], "duration": SILENCE},
            },
        ],
    }


def _quoted(text: str) -> str:
    """A string of the expression language."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
