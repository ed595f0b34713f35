"""How well one feature alone tells two classes apart: ROC AUC, the share of pairs in the right order, ties half.

All arrays have one place for each row. `positive` says of which class a row is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDS = 5

Flags = NDArray[np.bool_]
Whole = NDArray[np.int64]


def of_numbers(values: NDArray[Any], positive: Flags, without: int, without_against: int) -> float:
    """The area of values that rank by themselves, none missing.

    `without` positive and `without_against` negative rows have no value: they stand below all others or above them,
    whichever makes the area differ more from one half.
    """
    wins, placed, against = _pairs(values, positive.astype(np.int64), np.ones(len(values), dtype=np.int64))
    pairs = (placed + without) * (against + without_against)
    ties = 0.5 * without * without_against
    lowest = (wins + placed * without_against + ties) / pairs
    highest = (wins + without * against + ties) / pairs
    return max(lowest, highest, key=lambda found: abs(found - 0.5))


def of_texts(texts: Whole, folds: Whole, positive: Flags) -> float:
    """The area of values that have no order, as whole numbers, and rank by what they tell in the other folds.

    That is the share of positive rows that a value has there, one row of the overall share added to it; rows are
    compared within their fold.
    """
    prior = float(np.count_nonzero(positive)) / len(positive)
    keys, cell = np.unique(texts * FOLDS + folds, return_inverse=True)
    rows, positives = (np.bincount(cell, weights=weights).astype(np.int64) for weights in (None, positive))
    _, text = np.unique(keys // FOLDS, return_inverse=True)
    all_rows, all_positives = (np.bincount(text, weights=counts).astype(np.int64)[text] for counts in (rows, positives))
    share = (all_positives - positives + prior) / (all_rows - rows + 1.0)
    wins = pairs = 0.0
    for fold in range(FOLDS):
        own = keys % FOLDS == fold
        won, placed, against = _pairs(share[own], positives[own], rows[own])
        wins, pairs = wins + won, pairs + float(placed) * against
    return wins / pairs if pairs else 0.5


def _pairs(values: NDArray[Any], positives: Whole, rows: Whole) -> tuple[float, int, int]:
    """Pairs of a positive row and a negative one in the right order, ties half; and the rows of both classes.

    Each place stands for `rows` rows of one value, `positives` of them positive.
    """
    if len(values) == 0:
        return 0.0, 0, 0
    order = np.argsort(values)
    ranked = values[order]
    starts = np.append(0, np.flatnonzero(ranked[1:] != ranked[:-1]) + 1)
    positive = np.add.reduceat(positives[order], starts)
    negative = np.add.reduceat(rows[order], starts) - positive
    below = np.cumsum(negative) - negative
    return float(np.sum(positive * (below + negative / 2.0))), int(positive.sum()), int(negative.sum())
