"""The champion's own image in a compiled train pipeline: no parameter of the service can name an image."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ctc.diagnostics import CtcError

CHAMPION_EXECUTOR = "exec-predict-champion"


def champion_executor(pipeline_spec: Mapping[str, Any], image: str) -> dict[str, Any]:
    """A copy of the train pipeline, with the champion's image in the one executor that runs the champion's command.

    Raises `CtcError` if the document has no such executor.
    """
    filled = copy.deepcopy(dict(pipeline_spec))
    try:
        filled["deploymentSpec"]["executors"][CHAMPION_EXECUTOR]["container"]["image"] = image
    except (KeyError, TypeError) as error:
        raise CtcError(
            f"the train pipeline has no executor `{CHAMPION_EXECUTOR}` for the champion",
            "compile the spec again with this version of ctc",
        ) from error
    return filled
