"""What starts the wake at an outside event: a subscription to its Event Grid topic and a Logic App, as ARM templates.

Event Grid cannot call Azure Resource Manager: it proves who a webhook is by a handshake first. A workflow answers it,
hands the event over, and starts the wake job by `PUT .../jobs/NAME` as a managed identity. The name is made from the
event's id, so that an event that is delivered twice starts one job.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

from ctc.compiler.ir import System
from ctc.targets.azureml import identities
from ctc.targets.azureml.pipeline import key
from ctc.targets.azureml.places import API_VERSION, group_id, short, workspace_id
from ctc.targets.azureml.tags import tags

TEMPLATE = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
WORKFLOW = "https://schema.management.azure.com/providers/Microsoft.Logic/schemas/2016-06-01/workflowdefinition.json#"
MANAGEMENT = "https://management.azure.com"
VALIDATION = "Microsoft.EventGrid.SubscriptionValidationEvent"
TOPIC = re.compile(
    r"(?P<group>/subscriptions/[^/]+/resourceGroups/[^/]+)/providers/Microsoft\.EventGrid/"
    r"(?P<kind>topics|systemTopics)/(?P<name>[A-Za-z0-9-]{3,128})"
)
_EVENT = "triggerBody()?[0]"
_ID = f"replace(replace(replace(base64(string({_EVENT}?['id'])), '+', '-'), '/', '_'), '=', '')"
_DATA = f"{_EVENT}?['data']"
_SENT = "@equals(first(coalesce(triggerBody(), json('[]')))?['eventType'], '" + VALIDATION + "')"


def topics(system: System) -> dict[str, str]:
    """The full id of the Event Grid topic of each event that this target is told of, by the event's name."""
    sources = sorted((system.settings.get("events") or {}).items())
    named = {name: str(source["event_grid"]["topic"]) for name, source in sources}
    own = f"{group_id(system)}/providers/Microsoft.EventGrid/topics"
    return {name: topic if topic.startswith("/") else f"{own}/{topic}" for name, topic in named.items()}


def workflow_name(system: System, event: str) -> str:
    return short(f"{system.name}-on-{event}")


def component_name(system: System) -> str:
    """The SDK takes lower-case letters, digits and underscores; the version tells apart what then meets."""
    return key(system.wake.name)


def component(system: System, wake: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The wake's one step as a registered component, which a job that is started by REST must name."""
    inline = copy.deepcopy(wake["jobs"]["wake"]["component"])
    return {
        "$schema": "https://azuremlschemas.azureedge.net/latest/commandComponent.schema.json",
        "name": component_name(system),
        "version": version,
        "display_name": system.wake.name,
        "description": f"The wake step of {system.name}, compiled by ctc.",
        "tags": tags(system),
        **inline,
    }


def job_body(system: System, wake: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The wake job as the REST API has it, with the component by its id; `event` is as scheduled."""
    workspace, step = workspace_id(system), wake["jobs"]["wake"]
    inputs: dict[str, Any] = {}
    for name, given in wake["inputs"].items():
        if isinstance(given, dict):
            inputs[name] = {"jobInputType": given["type"], "uri": given["path"], "mode": "Download"}
        else:
            inputs[name] = {"jobInputType": "literal", "value": given}
    identity = {"identity_type": "Managed", **{key: step["identity"][key] for key in step["identity"] if key != "type"}}
    settings = wake["settings"]
    return {
        "jobType": "Pipeline",
        "experimentName": wake["experiment_name"],
        "displayName": wake["display_name"],
        "description": wake["description"],
        "tags": dict(wake["tags"]),
        "inputs": inputs,
        "settings": {
            **settings,
            "default_compute": f"{workspace}/computes/{settings['default_compute'].removeprefix('azureml:')}",
            "default_datastore": f"{workspace}/datastores/{settings['default_datastore'].removeprefix('azureml:')}",
        },
        "jobs": {
            "wake": {
                "name": "wake",
                "type": "command",
                "componentId": f"{workspace}/components/{component_name(system)}/versions/{version}",
                "inputs": {
                    name: {"job_input_type": "literal", "value": value} for name, value in step["inputs"].items()
                },
                "limits": {"job_limits_type": "Command", "timeout": duration(step["limits"]["timeout"])},
                "identity": identity,
            }
        },
    }


def duration(seconds: int) -> str:
    """ISO 8601: 4200 is `PT1H10M`."""
    days, rest = divmod(seconds, 86400)
    parts = [(rest // 3600, "H"), (rest % 3600 // 60, "M"), (rest % 60, "S")]
    time = "".join(f"{value}{unit}" for value, unit in parts if value)
    return f"P{f'{days}D' if days else ''}{f'T{time}' if time else ''}"


def template(resources: list[dict[str, Any]]) -> dict[str, Any]:
    """An ARM template for the resource group."""
    return {"$schema": TEMPLATE, "contentVersion": "1.0.0.0", "resources": resources}


def logic_app(system: System, name: str, definition: dict[str, Any]) -> dict[str, Any]:
    """A workflow (Consumption) that runs as the waker."""
    return {
        "type": "Microsoft.Logic/workflows",
        "apiVersion": "2019-05-01",
        "name": name,
        "location": "[resourceGroup().location]",
        "tags": tags(system),
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {identities.waker_id(system): {}}},
        "properties": {
            "state": "Enabled",
            "definition": {"$schema": WORKFLOW, "contentVersion": "1.0.0.0", **definition},
        },
    }


def authentication(system: System, audience: str) -> dict[str, str]:
    return {"type": "ManagedServiceIdentity", "identity": identities.waker_id(system), "audience": audience}


def wake_on(system: System, event: str, topic: str, wake: Mapping[str, Any], version: str) -> dict[str, Any]:
    """The template that makes the workflow of an event, and its subscription to the topic."""
    name, match = workflow_name(system, event), TOPIC.fullmatch(topic)
    # A topic that cannot be read is refused by the limits.
    kind, own = ("topics", topic) if match is None else (match["kind"], match["name"])
    callback = f"[listCallbackUrl(resourceId('Microsoft.Logic/workflows/triggers', '{name}', 'event'), '2019-05-01')"
    return template(
        [
            logic_app(system, name, _definition(system, event, job_body(system, wake, version))),
            {
                "type": f"Microsoft.EventGrid/{kind}/eventSubscriptions",
                "apiVersion": "2025-02-15",
                "name": f"{own}/{name}",
                "dependsOn": [f"[resourceId('Microsoft.Logic/workflows', '{name}')]"],
                "properties": {
                    "destination": {
                        "endpointType": "WebHook",
                        "properties": {"endpointUrl": f"{callback}.value]", "maxEventsPerBatch": 1},
                    },
                    "eventDeliverySchema": "EventGridSchema",
                    "retryPolicy": {"maxDeliveryAttempts": 30, "eventTimeToLiveInMinutes": 1440},
                },
            },
        ]
    )


def _definition(system: System, event: str, body: dict[str, Any]) -> dict[str, Any]:
    asked = copy.deepcopy(body)
    asked["inputs"]["event"]["value"] = "@{encodeUriComponent(string(outputs('alert')))}"
    uri = f"{MANAGEMENT}{workspace_id(system)}/jobs/{system.wake.name}-on-@{{{_ID}}}?api-version={API_VERSION}"
    alert = {
        "name": event,
        "id": f"@{{{_EVENT}?['id']}}",
        "at": f"@{{formatDateTime({_EVENT}?['eventTime'], 'yyyy-MM-ddTHH:mm:ssZ')}}",
        # Fields are an object; an event whose data is anything else has none.
        "fields": f"@if(startsWith(string({_DATA}), '{{'), {_DATA}, json('{{}}'))",
    }
    start = {
        "type": "Http",
        "inputs": {
            "method": "PUT",
            "uri": uri,
            "authentication": authentication(system, f"{MANAGEMENT}/"),
            "body": {"properties": asked},
        },
        "runAfter": {"alert": ["Succeeded"]},
    }
    answered = {
        "accepted": _response(200, {"woken": "@{body('wake')?['name']}"}, {"wake": ["Succeeded"]}),
        # Event Grid delivers again what is answered so.
        "refused": _response(503, {"error": "the wake job was not taken"}, {"wake": ["Failed", "TimedOut"]}),
    }
    return {
        "triggers": {
            "event": {
                "type": "Request",
                "kind": "Http",
                "inputs": {"schema": {"type": "array"}},
            }
        },
        "actions": {
            "shake": {
                "type": "If",
                "expression": _SENT,
                "actions": {"agree": _response(200, {"validationResponse": f"@{{{_DATA}?['validationCode']}}"}, {})},
                "else": {"actions": {"alert": {"type": "Compose", "inputs": alert}, "wake": start, **answered}},
                "runAfter": {},
            }
        },
    }


def _response(status: int, body: dict[str, str], after: dict[str, list[str]]) -> dict[str, Any]:
    return {"type": "Response", "kind": "Http", "inputs": {"statusCode": status, "body": body}, "runAfter": after}
