"""Where the baselines of drift are kept: the profiles of what each attempt learnt from, and of what it answered."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from ctc.policy.profile import Profile, of_numbers
from ctc.steps.ports import ObjectStore, Services
from ctc.steps.task import StepFailed, Task

PREDICTION = "prediction"
"""The column of what a model answered, in the profile of its predictions."""


def training_key(attempt: str) -> str:
    """Where the profile of the rows is kept that an attempt learnt from."""
    return f"attempts/{attempt}/profile.json"


def predictions_key(attempt: str) -> str:
    """Where the profile is kept of what the attempt's model answered on the holdout."""
    return f"attempts/{attempt}/profile-predictions.json"


def keep_predictions(task: Task, services: Services, answered: ArrayLike) -> None:
    """Keeps the profile of the contender's answers, the later baseline of a served score; of one number a row only."""
    if np.ndim(answered) != 1:
        return
    made = Profile({PREDICTION: of_numbers(answered)})
    services.objects.put(predictions_key(task.attempt), made.to_json())


def kept(objects: ObjectStore, key: str) -> Profile | None:
    """A profile that was kept; None if there is none. StepFailed if it cannot be read."""
    document = objects.get(key)
    if document is None:
        return None
    try:
        return Profile.from_json(document)
    except (KeyError, TypeError, ValueError) as error:
        raise StepFailed(
            f"the profile {objects.uri(key)} is damaged ({error!r}): restore it, or train again"
        ) from error
