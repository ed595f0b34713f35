"""What wakes the system when an alert comes in: an Eventarc trigger on a Pub/Sub topic, and a workflow that it starts.

The workflow holds no code of ours: it fetches the wake pipeline's job from the bucket, writes what the message says
into the parameter `event`, and submits it. The job's id is made from the message's id, so that a message that is
delivered twice wakes once. Sources are Google Workflows' own language.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ctc.compiler.ir import System
from ctc.targets.vertex.pipeline import labels
from ctc.targets.vertex.schedules import parent

_DATA = '${json.decode(base64.decode(default(map.get(message, "data"), "")))}'
_UNREAD = {"severity": "WARNING", "text": "the message is no JSON object: the event has no fields"}
PUBSUB_MESSAGE = "google.cloud.pubsub.topic.v1.messagePublished"


def topics(system: System) -> dict[str, str]:
    """The full name of the Pub/Sub topic of each event that this target is told of, by the event's name."""
    sources = sorted((system.settings.get("events") or {}).items())
    named = {name: str(source["pubsub"]["topic"]) for name, source in sources}
    own = f"projects/{system.settings['project']}/topics"
    return {name: topic if topic.startswith("projects/") else f"{own}/{topic}" for name, topic in named.items()}


def workflow_id(system: System, event: str) -> str:
    """The id of the workflow, and of the trigger that starts it."""
    return f"{system.name}-on-{event}".lower().replace("_", "-")


def trigger(system: System, event: str, topic: str, account: str) -> dict[str, Any]:
    """The body of `eventarc.projects.locations.triggers.create`."""
    name = workflow_id(system, event)
    return {
        "name": f"{parent(system)}/triggers/{name}",
        "eventFilters": [{"attribute": "type", "value": PUBSUB_MESSAGE}],
        "transport": {"pubsub": {"topic": topic}},
        "destination": {"workflow": f"{parent(system)}/workflows/{name}"},
        "serviceAccount": account,
        "labels": labels(system),
    }


def workflow(system: System, description: str, account: str) -> dict[str, Any]:
    """The body of `workflows.projects.locations.workflows.create`, without `sourceContents`."""
    return {
        "description": description,
        "serviceAccount": account,
        "labels": labels(system),
        "callLogLevel": "LOG_ERRORS_ONLY",
    }


def wake_on(system: System, event: str, wake_uri: str) -> dict[str, Any]:
    """The workflow that wakes for one message of an event; `wake_uri` is where the wake pipeline's job is kept."""
    steps = [
        {"read": {"assign": [{"message": "${event.data.message}"}, {"fields": {}}]}},
        {
            # A message that is no JSON object is an alert all the same: it has a name, an id and an instant.
            "parse": {
                "try": {
                    "steps": [
                        {"decode": {"assign": [{"told": _DATA}]}},
                        # Merging is refused for what is no map.
                        {"keep": {"assign": [{"fields": "${map.merge(fields, told)}"}]}},
                    ]
                },
                "except": {"as": "unread", "steps": [{"say_so": {"call": "sys.log", "args": _UNREAD}}]},
            }
        },
        {
            "say": {
                "assign": [
                    {
                        "alert": {
                            "name": event,
                            "id": "${message.messageId}",
                            "at": "${message.publishTime}",
                            "fields": "${fields}",
                        }
                    }
                ]
            }
        },
        {
            "fetch": {
                "call": "http.get",
                "args": {"url": _object_url(wake_uri), "auth": {"type": "OAuth2"}},
                "result": "kept",
            }
        },
        {
            "fill": {
                "assign": [
                    {"job": "${kept.body}"},
                    {"job.runtimeConfig.parameterValues.event": "${json.encode_to_string(alert)}"},
                ]
            }
        },
        {
            "wake": {
                "try": {
                    "call": "http.post",
                    "args": {
                        "url": jobs_url(system),
                        "query": {"pipelineJobId": f'${{"{system.wake.name}-on-" + message.messageId}}'},
                        "auth": {"type": "OAuth2"},
                        "body": "${job}",
                    },
                    "result": "made",
                },
                "retry": "${http.default_retry}",
                "except": {
                    "as": "refused",
                    "steps": [
                        {
                            "twice": {
                                "switch": [{"condition": "${refused.code == 409}", "return": "woken before"}],
                            }
                        },
                        {"fail": {"raise": "${refused}"}},
                    ],
                },
            }
        },
        {"done": {"return": "${made.body.name}"}},
    ]
    return {"main": {"params": ["event"], "steps": steps}}


def _object_url(uri: str) -> str:
    bucket, _, key = uri.removeprefix("gs://").partition("/")
    return f"https://storage.googleapis.com/storage/v1/b/{bucket}/o/{quote(key, safe='')}?alt=media"


def jobs_url(system: System) -> str:
    return f"https://{system.settings['region']}-aiplatform.googleapis.com/v1/{parent(system)}/pipelineJobs"
