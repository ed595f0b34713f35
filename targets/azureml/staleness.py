"""The alarm that the platform raises when nothing has been trained for too long, also when no wake runs any more.

Log alerts of Azure Monitor reach back two days at most, so a workflow asks the logs of the workspace every hour, as far
back as the spec says, and fails when they tell of no train job that ended well; a metric alert watches its failures.
"""

from __future__ import annotations

from typing import Any

from ctc.compiler.ir import System
from ctc.targets.azureml.events import authentication, logic_app, template
from ctc.targets.azureml.places import short, workspace_id
from ctc.targets.azureml.tags import tags

LOGS = "https://api.loganalytics.azure.com"
TABLE = "AmlRunStatusChangedEvent"


def watch_name(system: System) -> str:
    """The name of the workflow, and of the alert on it."""
    return short(f"{system.name}-staleness")


def query(system: System, max_age: float) -> str:
    """Counts the train jobs that ended well: wake names them after their attempt (`submission`)."""
    return (
        f'{TABLE} | where TimeGenerated > ago({int(max_age)}s) and RunId startswith "{system.train.name}-" '
        'and RunId == RootRunId and Status == "Completed" | count'
    )


def alarm(system: System, max_age: float) -> dict[str, Any]:
    """The template that makes the watch and the alert; whoever deploys adds action groups to the alert."""
    name = watch_name(system)
    resource = f"[resourceId('Microsoft.Logic/workflows', '{name}')]"
    return template(
        [
            logic_app(system, name, _definition(system, max_age)),
            {
                "type": "Microsoft.Insights/metricAlerts",
                "apiVersion": "2018-03-01",
                "name": name,
                "location": "global",
                "tags": tags(system),
                "dependsOn": [resource],
                "properties": {
                    "description": f"No train job of {system.name} has ended well for {max_age / 86400:g} days, or the "
                    "logs cannot be asked. Look at the jobs of the experiment and at their schedules: an alarm without "
                    "a failed job means that nothing starts them.",
                    "severity": 2,
                    "enabled": True,
                    "autoMitigate": True,
                    "scopes": [resource],
                    "evaluationFrequency": "PT1H",
                    "windowSize": "PT6H",
                    "targetResourceType": "Microsoft.Logic/workflows",
                    "criteria": {
                        "odata.type": "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
                        "allOf": [
                            {
                                "name": "the watch failed",
                                "criterionType": "StaticThresholdCriterion",
                                "metricNamespace": "Microsoft.Logic/workflows",
                                "metricName": "RunsFailed",
                                "operator": "GreaterThan",
                                "threshold": 0,
                                "timeAggregation": "Total",
                            }
                        ],
                    },
                    "actions": [],
                },
            },
        ]
    )


def _definition(system: System, max_age: float) -> dict[str, Any]:
    message = f"no train job of {system.name} has ended well for {int(max_age)} seconds"
    found = "@greater(int(coalesce(body('ask')?['tables']?[0]?['rows']?[0]?[0], 0)), 0)"
    stale = {"runStatus": "Failed", "runError": {"code": "Stale", "message": message}}
    return {
        "triggers": {
            "hourly": {
                "type": "Recurrence",
                "recurrence": {"frequency": "Hour", "interval": 1},
                "runtimeConfiguration": {"concurrency": {"runs": 1}},
            }
        },
        "actions": {
            "ask": {
                "type": "Http",
                "inputs": {
                    "method": "POST",
                    "uri": f"{LOGS}/v1{workspace_id(system)}/query",
                    "authentication": authentication(system, LOGS),
                    "body": {"query": query(system, max_age)},
                },
                "runAfter": {},
            },
            "judge": {
                "type": "If",
                "expression": found,
                "actions": {},
                "else": {"actions": {"alarm": {"type": "Terminate", "inputs": stale, "runAfter": {}}}},
                "runAfter": {"ask": ["Succeeded"]},
            },
        },
    }
