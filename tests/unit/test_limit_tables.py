"""The tables of limits of all targets: each number has its source, its month and a short quotation."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator

import pytest

from ctc.targets import kfp_words
from ctc.targets.azureml.limits import LIMITS as AZUREML
from ctc.targets.sagemaker.limit_table import LIMITS as SAGEMAKER
from ctc.targets.vertex.limits import LIMITS as VERTEX

KUBEFLOW = vars(importlib.import_module("ctc.targets.kubeflow.limits"))

WORDS = 25
NO_SENTENCE = {"vertex workflow"}
"""Eventarc's reference tells no length of the id of a trigger."""

NOT_IN_FIGURES = {
    "azureml component name",
    "azureml shared",
    "kubeflow PIPELINE_NAME_LENGTH",
    "kubeflow WAKE_SECONDS",
    "kubeflow SERVICE_NAME_LENGTH",
    "sagemaker step name",
    "vertex pipeline name",
}
"""A pattern counts what follows its first character, a whole number is at least one, two lengths are left of 63."""


def tables() -> Iterator[tuple[str, int, str, str, str]]:
    """Target and name of each limit, its value, source, month and quotation."""
    for name, limit in AZUREML.items():
        yield f"azureml {name}", limit.value, limit.source, limit.as_of, limit.quote
    for name, row in SAGEMAKER.items():
        yield f"sagemaker {name}", row.value, row.source, row.as_of, row.said
    shared = {name: value for name, value in vars(kfp_words).items() if isinstance(value, kfp_words.Limit)}
    ours = {name: value for name, value in KUBEFLOW.items() if isinstance(value, kfp_words.Limit)}
    for prefix, found in (("vertex", VERTEX), ("kubeflow", ours), ("kfp", shared)):
        for name, entry in found.items():
            yield f"{prefix} {name}", entry.value, entry.source, entry.as_of, entry.said


TABLE = {name: row for name, *row in tables()}


def numbers(text: str) -> set[int]:
    """The whole numbers of a text, and what they are in seconds and bytes if they are days and KB or MiB."""
    plain = {int(found.replace(",", "").replace(".", "")) for found in re.findall(r"\d[\d,.]*", text)}
    return {number * factor for number in plain for factor in (1, 86_400, 1024, 1024**2)}


@pytest.mark.parametrize("name", sorted(TABLE))
def test_a_limit_has_a_number_a_month_a_source_and_a_short_quotation(name: str) -> None:
    value, source, month, said = TABLE[name]

    assert int(value) > 0
    assert re.fullmatch(r"20\d\d-(0[1-9]|1[0-2])", str(month))
    assert len(str(source).split()) >= 2
    assert len(str(said).split()) <= WORDS
    assert bool(said) == (name not in NO_SENTENCE)


@pytest.mark.parametrize("name", sorted(set(TABLE) - NO_SENTENCE - NOT_IN_FIGURES))
def test_a_quotation_states_the_number(name: str) -> None:
    value, _, _, said = TABLE[name]

    assert value in numbers(str(said))


def test_the_lists_of_exceptions_are_no_longer_than_needed() -> None:
    assert {name for name, (_, _, _, said) in TABLE.items() if not said} == NO_SENTENCE
    assert {name for name in NOT_IN_FIGURES if TABLE[name][0] not in numbers(str(TABLE[name][3]))} == NOT_IN_FIGURES
