"""The one place that talks to AWS: every request made with bounded patience, every refusal told in words.

boto3 is imported when a session is opened, so that compiling needs no SDK.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ctc.deploy.resource import CloudError
from ctc.diagnostics import CtcError

TRIES = 5
"""Of one request, with growing pauses (botocore's mode `standard`), where the service throttles or fails."""

CONNECT_SECONDS, READ_SECONDS = 5, 25

MISSING = frozenset(
    (
        "ResourceNotFound",
        "ResourceNotFoundException",
        "NotFound",
        "NotFoundException",
        "NoSuchKey",
        "404",
        "StateMachineDoesNotExist",
        "NoSuchEntity",
        "NoSuchPublicAccessBlockConfiguration",
        "ServerSideEncryptionConfigurationNotFoundError",
        "RepositoryNotFoundException",
        "ImageNotFoundException",
    )
)
"""Codes by which the services say that something is not there (botocore's service models; S3 answers HEAD with 404)."""

EXISTS = frozenset(
    (
        "ConflictException",
        "ResourceInUse",
        "ResourceAlreadyExistsException",
        "StateMachineAlreadyExists",
        "EntityAlreadyExists",
    )
)

THROTTLED = frozenset(
    ("ThrottlingException", "Throttling", "TooManyRequestsException", "SlowDown", "RequestLimitExceeded")
)

LOST = frozenset(("PreconditionFailed", "ConditionalRequestConflict", "412", "409"))
"""Codes of S3's conditional writes."""

_DENIED = re.compile(r"User: (\S+) is not authorized to perform: ([\w:-]+)(?: on resource: ([^\s<]+))?")


class Missing(CloudError):
    """What was asked for is not there."""


class Denied(CloudError):
    """The credentials may not do this."""


class Unsigned(CloudError):
    """There are no credentials here."""


class Lost(CloudError):
    """A conditional write came too late: what it was to replace is not what is there."""


class Exists(CloudError):
    """What was to be made is there already."""


class Session:
    """The clients of one region, opened when first used."""

    def __init__(self, region: str) -> None:
        try:
            import boto3
            from botocore.config import Config
        except ImportError as error:
            raise CtcError(
                "reaching SageMaker needs boto3, which is not installed", "pip install 'ctc-compiler[sagemaker]'"
            ) from error
        self.region = region
        self._session = boto3.Session(region_name=region)
        self._config = Config(
            retries={"mode": "standard", "max_attempts": TRIES},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            user_agent_extra="ctc",
        )
        self._clients: dict[str, Any] = {}

    def call(self, service: str, operation: str, about: str, **arguments: Any) -> Mapping[str, Any]:
        """One request; `about` is the resource, for the message.

        Raises `Missing`, `Exists`, `Lost` or another `CloudError`.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answer: Mapping[str, Any] = getattr(self._client(service), operation)(**arguments)
        except ClientError as error:
            raise _refused(error.response, service, operation, about) from error
        except BotoCoreError as error:
            raise _unreached(error, service, operation, about) from error
        return answer

    def _client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._session.client(service, config=self._config)
        return self._clients[service]


def _refused(answer: Mapping[str, Any], service: str, operation: str, about: str) -> CloudError:
    said = answer.get("Error", {})
    code, message = str(said.get("Code", "")), str(said.get("Message", "")).strip()
    told = f"{about}: {service}:{operation} was refused: {message or 'no reason given'} ({code})"
    # What is to be made cannot be missing: then it is something that it names, and nobody may take that for "gone".
    invalid = code == "ValidationException" and not operation.startswith("create_")
    if code in MISSING or (invalid and re.search(r"not find|not exist", message)):
        return Missing(told)
    if code in LOST:
        return Lost(told)
    if operation.startswith("delete_") and code in EXISTS:
        return CloudError(told, "it is in use, or still holds something: take that away first")
    if code in EXISTS or (code == "ValidationException" and re.search(r"already exist|existing", message)):
        return Exists(told)
    if code in THROTTLED:
        return CloudError(told, f"the account's rate was exceeded {TRIES} times in a row: run the command again later")
    if code.startswith(("AccessDenied", "UnauthorizedOperation")) or code == "403":
        return Denied(*_denied(message, service, operation, about))
    if code in ("ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "UnrecognizedClientException"):
        return CloudError(told, "sign in again: the credentials are unknown or have run out")
    return CloudError(told)


def _denied(message: str, service: str, operation: str, about: str) -> tuple[str, str]:
    """Who may not do what on which resource, and where the right stands."""
    found = _DENIED.search(message)
    if found is None:
        return f"{about}: {service}:{operation} is not allowed: {message}", _RIGHTS
    who, action, resource = found[1], found[2], found[3] or about
    return f"{about}: {who} may not {action} on {resource}", _RIGHTS


_RIGHTS = (
    "the rights of whoever deploys are in the bundle's identities/deployer.json: ctc bootstrap shows who gives them"
)


def _unreached(error: Exception, service: str, operation: str, about: str) -> CloudError:
    from botocore.exceptions import NoCredentialsError, ParamValidationError, PartialCredentialsError

    told = f"{about}: {service}:{operation} could not be asked: {error}"
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return Unsigned(told, "sign in (aws sso login), or set AWS_PROFILE")
    if isinstance(error, ParamValidationError):
        return CloudError(told, "this is a bug in ctc: it asked for something that the service has no form for")
    return CloudError(told, "look at the network, and run the same command again: it goes on where it stopped")
