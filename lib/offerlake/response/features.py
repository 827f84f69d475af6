"""From the columns of `examples` to the vector a model sees: two Spark ML stages, learnt on training rows.

A number x becomes sign(x)·log(1 + |x|), the training mean where it is missing or infinite, with a flag of its own where
it was missing in training. A category becomes one indicator a value; a value not seen in training has none. A column
that never changes is left out.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyspark import TaskContext
from pyspark.ml import PipelineModel
from pyspark.ml.feature import SQLTransformer, VectorAssembler
from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from offerlake.errors import DataError
from offerlake.schemas.gold import OFFER_CONTEXT_COLUMNS, USER_FEATURE_COLUMNS

Numbers = npt.NDArray[np.float64]
_COLUMNS = (*USER_FEATURE_COLUMNS, *OFFER_CONTEXT_COLUMNS)
USER_NUMBERS: tuple[str, ...] = tuple(c.name for c in USER_FEATURE_COLUMNS if c.type in ("int", "double"))
CONTEXT: tuple[str, ...] = tuple(c.name for c in OFFER_CONTEXT_COLUMNS)
NUMBERS: tuple[str, ...] = tuple(c.name for c in _COLUMNS if c.type in ("int", "double"))
CATEGORIES: tuple[str, ...] = tuple(c.name for c in _COLUMNS if c.type == "string")
"""Columns of `examples` that a model may use."""

MISSING = "(none)"
VECTOR = "x"

_MILLION = 1e6
_MOST_VALUES = 200  # of a category; one with more is an id, not a category


@dataclass(frozen=True)
class Columns:
    """What training rows have to teach.

    Attributes:
        numbers: Numbers that vary, with their mean after squeezing, which stands in where they are missing.
        flagged: Numbers that are sometimes missing.
        categories: Categories that vary, with their values, ascending.
    """

    numbers: dict[str, float]
    flagged: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]


def as_nothing(frame: DataFrame) -> DataFrame:
    """The same users with nothing instead of their offer: the OFFER_CONTEXT_COLUMNS of a row without one."""
    blank = {c.name: F.lit(None) if c.null else F.lit(0) for c in OFFER_CONTEXT_COLUMNS} | {"kind": F.lit("none")}
    return frame.withColumns({c.name: blank[c.name].cast(c.type) for c in OFFER_CONTEXT_COLUMNS})


def numbers_of(names: Sequence[str]) -> Column:
    """Numbers as one array of doubles, to go to NumPy by Arrow."""
    return F.array(*[F.col(name).cast("double") for name in names])


def squeeze(x: Numbers) -> Numbers:
    """sign(x)·log(1 + |x|) of each number; NaN where it is missing or infinite."""
    inside = np.where(np.isfinite(x), x, np.nan)
    return np.sign(inside) * np.log1p(np.abs(inside))


def learnable(rows: DataFrame) -> Columns:
    """Finds the columns worth a model's while, in one pass; sums are of whole millionths, so their order is no matter.

    Raises:
        DataError: There are no rows, or no column varies.
    """
    raw = [F.coalesce(_text(name), F.lit(MISSING)).alias(name) for name in CATEGORIES]
    taken = rows.select(numbers_of(NUMBERS).alias("x"), *raw)
    parts = taken.mapInArrow(_learn_batches, ONE_ROW).collect()
    learnt = in_order(parts)
    if not learnt:
        raise DataError("examples: no rows to learn from", fix="Widen the period, or run build_examples first.")
    total = sum(part["rows"] for part in learnt)
    known, sums = (np.sum([part[name] for part in learnt], axis=0) for name in ("known", "sum"))
    low, high = np.min([part["low"] for part in learnt], axis=0), np.max([part["high"] for part in learnt], axis=0)
    values = {name: sorted(set().union(*[part["values"][name] for part in learnt])) for name in CATEGORIES}
    kept = Columns(
        numbers={name: float(sums[i] / _MILLION / known[i]) for i, name in enumerate(NUMBERS) if low[i] < high[i]},
        flagged=tuple(name for i, name in enumerate(NUMBERS) if 0 < known[i] < total),
        categories={name: tuple(found) for name, found in values.items() if 1 < len(found) <= _MOST_VALUES},
    )
    if not (kept.numbers or kept.categories):
        raise DataError("examples: no feature varies", fix="Check that the feeds hold more than the exposures.")
    return kept


def _learn_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    width = len(NUMBERS)
    rows, known, sums = 0, np.zeros(width, np.int64), np.zeros(width, np.int64)
    low, high = np.full(width, np.inf), np.full(width, -np.inf)
    values: dict[str, set[str]] = {name: set() for name in CATEGORIES}
    for batch in batches:
        x = squeeze(matrix(batch.column("x"), width))
        rows += len(x)
        known += np.isfinite(x).sum(axis=0)
        sums += np.rint(np.nan_to_num(x) * _MILLION).astype(np.int64).sum(axis=0)
        low = np.minimum(low, np.where(np.isfinite(x), x, np.inf).min(axis=0, initial=np.inf))
        high = np.maximum(high, np.where(np.isfinite(x), x, -np.inf).max(axis=0, initial=-np.inf))
        for name, found in values.items():
            if len(found) <= _MOST_VALUES:
                found.update(batch.column(name).unique().to_pylist())
    if rows:
        content = {"rows": rows, "known": known, "sum": sums, "low": low, "high": high, "values": values}
        yield one_row(content)


def matrix(column: pa.ListArray, width: int) -> Numbers:
    """An Arrow column of arrays of `width` numbers as (rows, width); null is NaN."""
    numbers: Numbers = column.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    return numbers.reshape(-1, width)


ONE_ROW = "partition int, content binary"
"""Schema of what `one_row` makes."""


def in_order(rows: Sequence[Row]) -> list[Any]:
    """What partitions gave back by `one_row`, in their order, so that sums of doubles are always the same."""
    return [pickle.loads(row["content"]) for row in sorted(rows, key=lambda row: row["partition"])]  # noqa: S301  our own


def one_row(content: object) -> pa.RecordBatch:
    """What a partition gives back: its number, and anything, pickled."""
    task = TaskContext.get()
    partition = task.partitionId() if task else 0
    return pa.RecordBatch.from_pydict(
        {"partition": pa.array([partition], pa.int32()), "content": pa.array([pickle.dumps(content)], pa.binary())}
    )


def encoder(columns: Columns) -> PipelineModel:
    """The stages that add `VECTOR`."""
    parts = {f"_n_{name}": _squeezed(name, mean) for name, mean in columns.numbers.items()}
    parts |= {f"_m_{name}": f"CAST({_finite(name)} IS NULL AS DOUBLE)" for name in columns.flagged}
    for name, values in columns.categories.items():
        text = "IF(kind <> 'none', channel, NULL)" if name == "channel" else f"`{name}`"
        for place, value in enumerate(values):
            quoted = value.replace("\\", "\\\\").replace("'", "\\'")
            parts[f"_c_{name}_{place}"] = f"CAST(coalesce({text}, '{MISSING}') = '{quoted}' AS DOUBLE)"
    made = ", ".join(f"{expression} AS `{name}`" for name, expression in parts.items())
    select = SQLTransformer(statement=f"SELECT *, {made} FROM __THIS__")  # noqa: S608  no user's text but quoted values
    return PipelineModel([select, VectorAssembler(inputCols=list(parts), outputCol=VECTOR)])


def encode(frame: DataFrame, fitted: PipelineModel) -> DataFrame:
    """Adds `VECTOR`."""
    return fitted.transform(frame).select(*frame.columns, VECTOR)


def _text(name: str) -> Column:
    # A row without an offer has no channel either, whatever the log says.
    return F.when(F.col("kind") != "none", F.col("channel")) if name == "channel" else F.col(name)


def _finite(name: str) -> str:
    value = f"CAST(`{name}` AS DOUBLE)"
    return f"IF(abs({value}) < double('Infinity'), {value}, NULL)"


def _squeezed(name: str, mean: float) -> str:
    value = _finite(name)
    return f"coalesce(signum({value}) * ln(1 + abs({value})), {mean!r}D)"
