"""The column that tells rows of the holdout from those that stand beside it."""

PART = "_ctc_part"
"""The optional column of the snapshot that names the fixed source of a row; null for rows of the holdout itself."""
