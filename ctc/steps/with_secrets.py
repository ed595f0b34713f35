"""Runs a program beside it, the secrets of its step in its environment: for jobs of a service that hands over none.

Standard library only, Python 3.7 or newer, one file that travels as its source text. The first word is the program's
file; each other one before `--step` is `VARIABLE=HERE=NAME`: the value of HERE, a variable of this process, is that of
the secret on one machine; without it the secret NAME is read from AWS Secrets Manager, by the job's own role, through
the image's boto3.
"""

from __future__ import annotations

import os
import runpy
import sys


class Missing(Exception):
    """The message is for a person, and holds no value."""


def value_of(here: str, name: str) -> str:
    """The secret's text. Missing where it cannot be had."""
    value = os.environ.get(here, "").strip()
    if value:
        return value
    if os.environ.get("CTC_MOUNTS"):
        raise Missing("the secret %s is not there: set the environment variable %s" % (name, here))
    try:
        import boto3
    except ImportError as error:
        advice = "install it in the training image: pip install boto3"
        raise Missing("the secret %s is read through boto3, which this image lacks; %s" % (name, advice)) from error
    # `arn:aws:sagemaker:REGION:...`: the secret lies where the job runs.
    job = os.environ.get("TRAINING_JOB_ARN") or os.environ.get("PROCESSING_JOB_ARN") or ""
    region = job.split(":")[3] if job.count(":") > 3 else None
    try:
        answer = boto3.client("secretsmanager", region_name=region).get_secret_value(SecretId=name)
    except Exception as error:
        # botocore makes its classes as it goes; its messages hold the name and the reason.
        advice = "the job's role needs secretsmanager:GetSecretValue on it"
        raise Missing("the secret %s cannot be read: %s; %s" % (name, error, advice)) from error
    value = str(answer.get("SecretString") or "").strip()
    if not value:
        raise Missing("the secret %s holds no text" % name)
    return value


def main(words: list[str]) -> int:
    """Fills the environment in and runs the program, which ends the process; returns 1 where a secret is missing."""
    cut = words.index("--step")
    try:
        for word in words[1:cut]:
            variable, here, name = word.split("=", 2)
            os.environ[variable] = value_of(here, name)
    except Missing as missing:
        error = "%s failed: %s" % (words[cut + 1], missing)
        print("ctc: " + error, file=sys.stderr, flush=True)
        if "--failure" in words:
            with open(words[words.index("--failure") + 1], "w", encoding="utf-8") as file:
                file.write(error)
        return 1
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), words[0])
    sys.argv = [program, *words[cut:]]
    runpy.run_path(program, run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
