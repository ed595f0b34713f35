"""A training script written for one platform runs unedited on another, in the pipelines that were compiled."""

from __future__ import annotations

from pathlib import Path

import project
import pytest

FIT = """
import pyarrow.parquet as pq

def fit(rows, smooth):
    seen = {}
    for row in rows:
        key = f"{row['shop']}|{row['amount'] > 50}|{(row['price'] or 0) > 10}"
        good, n = seen.get(key, (0, 0))
        seen[key] = (good + row["bought"], n + 1)
    return {key: (good + smooth * 0.5) / (n + smooth) for key, (good, n) in sorted(seen.items())}
"""

# Each as its platform's own examples are written.
SCRIPTS = {
    "sagemaker": """
import argparse, json, os
from fit import fit, pq

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--smooth", type=float, default=100.0)
    parser.add_argument("--model-dir", type=str, default=os.environ["SM_MODEL_DIR"])
    parser.add_argument("--train", type=str, default=os.environ["SM_CHANNEL_TRAIN"])
    parser.add_argument("--test", type=str, default=os.environ["SM_CHANNEL_TEST"])
    args, _ = parser.parse_known_args()
    assert args.smooth == 1.0, "hyperparameters come as words"
    files = [os.path.join(args.train, name) for name in os.listdir(args.train)]
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    with open(os.path.join(args.model_dir, "model.json"), "w") as file:
        json.dump(fit(rows, args.smooth), file)
""",
    "vertex": """
import json, os
from fit import fit, pq

rows = pq.read_table(os.environ["AIP_TRAINING_DATA_URI"]).to_pylist()
with open(os.path.join(os.environ["AIP_MODEL_DIR"], "model.json"), "w") as file:
    json.dump(fit(rows, 1.0), file)
""",
    "azureml": """
import json, os
from fit import fit, pq

rows = pq.read_table(os.environ["AZURE_ML_INPUT_train"]).to_pylist()
os.makedirs("outputs", exist_ok=True)
with open("outputs/model.json", "w") as file:
    json.dump(fit(rows, 1.0), file)
""",
}


@pytest.mark.parametrize(
    ("interface", "target"),
    [
        ("vertex", "sagemaker"),
        pytest.param("sagemaker", "kubeflow", marks=pytest.mark.soak),
        pytest.param("azureml", "kubeflow", marks=pytest.mark.soak),
    ],
)
def test_a_script_of_one_platform_runs_on_another(tmp_path: Path, interface: str, target: str) -> None:
    spec = project.make(tmp_path / "p", days=80)
    own = project.run(spec, "--manual", "try", "--at", "2024-03-04T06:00:00Z", target=target)
    (spec.parent / "fit.py").write_text(FIT)
    (spec.parent / "train.py").write_text(SCRIPTS[interface])
    text = spec.read_text()
    start, end = text.index("  argv: [python"), text.index("  predict: [python")
    spec.write_text(text[:start] + f"  interface: {interface}\n  argv: [python, train.py]\n" + text[end:])

    found = project.run(
        spec, "--manual", "try", "--at", "2024-03-04T06:00:00Z", "--state", str(tmp_path / "other"), target=target
    )

    ours, theirs = (next(item for item in made if item["kind"] == "attempt") for made in (own, found))
    assert theirs["outcome"] == "candidate", theirs["error"] or theirs["reason"]
    # The same algorithm on the same rows: the same model, however it was told where they are.
    assert theirs["evaluation"]["metrics"] == ours["evaluation"]["metrics"]
