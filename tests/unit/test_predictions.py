"""What a predict command may write, and what it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctc.steps import predictions
from ctc.steps.predictions import Malformed

ROWS = pa.array(["a", "b", "c"])


def written(folder: Path, columns: dict[str, Any] | pa.Table) -> Path:
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), folder / "predictions.parquet")
    return folder


def test_the_order_is_the_rows(tmp_path: Path) -> None:
    folder = written(tmp_path, {"score": [0.3, 0.1, 0.2], "row_id": ["c", "a", "b"], "more": [1, 2, 3]})

    assert predictions.read(folder, ROWS, "binary").tolist() == [0.1, 0.2, 0.3]


def test_a_regression_writes_predictions(tmp_path: Path) -> None:
    folder = written(tmp_path, {"row_id": ROWS, "prediction": pa.array([1, 2, 3], pa.int32())})

    found = predictions.read(folder, ROWS, "regression")
    assert (found.dtype, found.tolist()) == (np.float64, [1.0, 2.0, 3.0])


def test_row_ids_that_are_numbers_match_as_text(tmp_path: Path) -> None:
    folder = written(tmp_path, {"row_id": [2, 1], "score": [0.2, 0.1]})

    assert predictions.read(folder, pa.array(["1", "2"]), "binary").tolist() == [0.1, 0.2]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"row_id": ["a", "b"], "score": [0.1, 0.2]}, r"1 missing \(c\)"),
        ({"row_id": ["a", "b", "c", "d"], "score": [0.1] * 4}, r"1 that nobody asked for \(d\)"),
        ({"row_id": ["a", "b", "x"], "score": [0.1] * 3}, r"1 missing \(c\), 1 that nobody asked for \(x\)"),
        ({"row_id": ["a", "b", "c", "c"], "score": [0.1] * 4}, "name c twice"),
        ({"row_id": ["a", "b", None], "score": [0.1] * 3}, "1 missing"),
        ({"row_id": ["a", "b", "c"], "score": [0.1, float("nan"), 0.2]}, r"1 rows \(b\)"),
        ({"row_id": ["a", "b", "c"], "score": [0.1, float("inf"), -float("inf")]}, r"2 rows \(b, c\)"),
        ({"row_id": ["a", "b", "c"], "score": [0.1, None, 0.2]}, r"1 rows \(b\)"),
        ({"row_id": ["a", "b", "c"], "score": ["x", "y", "z"]}, "write numbers"),
        ({"row_id": ["a", "b", "c"], "score": [[0.1], [0.2], [0.3]]}, "write numbers"),
        ({"row_id": ["a", "b", "c"], "prediction": [0.1] * 3}, "no column `score`; it has: row_id, prediction"),
        ({"id": ["a", "b", "c"], "score": [0.1] * 3}, "no column `row_id`; it has: id, score"),
        ({"row_id": pa.array([], pa.string()), "score": pa.array([], pa.float64())}, r"3 missing \(a, b, c\)"),
    ],
)
def test_what_does_not_match_the_rows_is_refused(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    with pytest.raises(Malformed, match=said):
        predictions.read(written(tmp_path, columns), ROWS, "binary")


def test_a_column_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    scores = pa.array([0.1, 0.2, 0.3])
    table = pa.Table.from_arrays([ROWS, scores, scores], names=["row_id", "score", "score"])

    with pytest.raises(Malformed, match="more than one column `score`"):
        predictions.read(written(tmp_path, table), ROWS, "binary")


def test_probabilities_where_a_metric_needs_them(tmp_path: Path) -> None:
    folder = written(tmp_path, {"row_id": ROWS, "score": [0.0, 1.0, 1.5]})

    assert predictions.read(folder, ROWS, "binary").tolist() == [0.0, 1.0, 1.5]
    with pytest.raises(Malformed, match=r"outside of 0 to 1 in 1 rows \(c\)"):
        predictions.read(folder, ROWS, "binary", probabilities=True)


def test_long_lists_are_cut(tmp_path: Path) -> None:
    folder = written(tmp_path, {"row_id": ["a"], "score": [0.1]})

    with pytest.raises(Malformed, match=r"9 missing \(0, 1, 2 and 6 more\)"):
        predictions.read(folder, pa.array(["a", *"012345678"]), "binary")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match=r"no predictions.parquet"):
        predictions.read(tmp_path, ROWS, "binary")


@pytest.mark.parametrize("content", [b"", b"row_id,score\na,0.1\n", b"PAR1" + b"\xff" * 40 + b"PAR1"])
def test_what_is_no_parquet(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "predictions.parquet").write_bytes(content)

    with pytest.raises(Malformed, match="cannot be read as Parquet"):
        predictions.read(tmp_path, ROWS, "binary")


def test_damaged_pages(tmp_path: Path) -> None:
    file = written(tmp_path, {"row_id": ROWS, "score": [0.1, 0.2, 0.3]}) / "predictions.parquet"
    content = file.read_bytes()
    file.write_bytes(content[:4] + b"\xff" * 40 + content[44:])

    with pytest.raises(Malformed, match="cannot be read as Parquet"):
        predictions.read(tmp_path, ROWS, "binary")


def test_absent_is_a_file_of_that_name(tmp_path: Path) -> None:
    assert not predictions.absent(tmp_path)
    (tmp_path / "absent.json").write_text("{}")
    assert predictions.absent(tmp_path)


def test_columns_that_metrics_name_are_read_as_strictly(tmp_path: Path) -> None:
    folder = written(
        tmp_path, {"row_id": ["c", "a", "b"], "score": [0.3, 0.1, 0.2], "win": [3, 1, 2], "text": list("xyz")}
    )

    found = predictions.read_model(folder, ROWS, "ranking", also=["win", "gone"])
    assert found.scores.tolist() == [0.1, 0.2, 0.3]
    assert found.columns["win"].tolist() == [1.0, 2.0, 3.0]
    assert "gone" not in found.columns
    with pytest.raises(Malformed, match="`text` is string: write numbers"):
        predictions.read_model(folder, ROWS, "ranking", also=["text"])


def test_without_a_label_the_prediction_may_be_missing(tmp_path: Path) -> None:
    folder = written(tmp_path, {"row_id": ROWS, "flag": [1, 0, 1]})

    found = predictions.read_model(folder, ROWS, "binary", also=["flag"], labelled=False)
    assert (len(found.scores), found.columns["flag"].tolist()) == (0, [1.0, 0.0, 1.0])
    with pytest.raises(Malformed, match="no column `score`"):
        predictions.read_model(folder, ROWS, "binary", also=["flag"])
    written(tmp_path, {"row_id": ["a", "b"], "flag": [1, 0]})
    with pytest.raises(Malformed, match="1 missing"):
        predictions.read_model(folder, ROWS, "binary", labelled=False)


def test_a_score_for_each_class(tmp_path: Path) -> None:
    folder = written(tmp_path, {"row_id": ROWS, "score_no": [0.4, 0.5, 0.6], "score_yes": [0.6, 0.5, 0.4]})

    assert predictions.class_names(predictions.names(folder)) == ["no", "yes"]
    found = predictions.read_classes(folder, ROWS, ("maybe", "no", "yes"), {"no"})
    assert found.scores.tolist() == [[0.0, 0.4, 0.6], [0.0, 0.5, 0.5], [0.0, 0.6, 0.4]]
    with pytest.raises(Malformed, match="no column `score_maybe`"):
        predictions.read_classes(folder, ROWS, ("maybe", "no", "yes"), {"maybe", "no"})


def test_columns_that_were_added_to_the_rows(tmp_path: Path) -> None:
    pq.write_table(pa.table({"row_id": ["b", "a", "c"], "value": [2, 1, 3]}), tmp_path / "columns.parquet")

    assert predictions.read_added(tmp_path, ROWS, ["value", "other"])["value"].tolist() == [1.0, 2.0, 3.0]
