"""From feature columns to a network's numbers: learnt on training rows, the same in training and in scoring.

A number x becomes (sign(x)·log(1 + |x|) − mean) / scale, clipped to ±`CLIP`; a missing one 0, with a flag of its own.
A category becomes its code in the vocabulary: 0 what is not in it, 1 missing, from 2 on the values.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from offerlake.errors import DataError
from offerlake.schemas.gold import OFFER_CONTEXT_COLUMNS, USER_FEATURE_COLUMNS

_COLUMNS = (*OFFER_CONTEXT_COLUMNS, *USER_FEATURE_COLUMNS)
NUMERIC: tuple[str, ...] = tuple(column.name for column in _COLUMNS if column.type in ("int", "double"))
CATEGORICAL: tuple[str, ...] = tuple(column.name for column in _COLUMNS if column.type == "string")
FLAGGED: tuple[str, ...] = tuple(column.name for column in _COLUMNS if column.name in NUMERIC and column.null)
"""Columns of `examples` the network sees: numbers, categories, and the numbers that may be missing."""

CLIP = 8.0  # standard deviations: an outlier may not move the network
_UNKNOWN, _MISSING, _FIRST = 0, 1, 2


@dataclass(frozen=True)
class Encoding:
    """What was learnt: of `NUMERIC` the means and scales, of `CATEGORICAL` the values, the most frequent first."""

    means: tuple[float, ...]
    scales: tuple[float, ...]
    vocabularies: tuple[tuple[str, ...], ...]

    @property
    def cards(self) -> list[int]:
        """How many codes each category has."""
        return [_FIRST + len(values) for values in self.vocabularies]

    @property
    def width(self) -> int:
        """Width of `numbers`: one a number, one a flag."""
        return len(NUMERIC) + len(FLAGGED)


def learn(frame: DataFrame, *, vocabulary: int) -> Encoding:
    """Learns an encoding from training rows, in two passes; what comes to the driver is one row and the vocabularies.

    Args:
        frame: Training rows with the columns of `NUMERIC` and `CATEGORICAL`.
        vocabulary: Values kept of a category, the most frequent; ties by value.

    Raises:
        DataError: There are no rows.
    """
    statistics: list[Column] = [F.count(F.lit(1)).alias("rows")]
    for name in NUMERIC:
        squeezed = _squeezed(F.nanvl(F.col(name).cast("double"), F.lit(None)))
        statistics += [F.avg(squeezed).alias(f"mean_{name}"), F.stddev_pop(squeezed).alias(f"scale_{name}")]
    row = frame.agg(*statistics).collect()[0]
    if row["rows"] == 0:
        raise DataError(
            "examples: no training rows", fix="Run the experiment longer, or set a later response.test_from."
        )
    return Encoding(
        means=tuple(_stable(row[f"mean_{name}"]) for name in NUMERIC),
        scales=tuple(_stable(row[f"scale_{name}"]) or 1.0 for name in NUMERIC),
        vocabularies=_vocabularies(frame, limit=vocabulary),
    )


def _squeezed(x: Column) -> Column:
    return F.signum(x) * F.log1p(F.abs(x))


def _stable(x: float | None) -> float:
    # Nine digits: a sum of doubles differs in the last ones with the order of the rows.
    return float(f"{x or 0.0:.9g}")


def _vocabularies(frame: DataFrame, *, limit: int) -> tuple[tuple[str, ...], ...]:
    pairs = [F.struct(F.lit(name).alias("name"), F.col(name).alias("value")) for name in CATEGORICAL]
    best = Window.partitionBy("name").orderBy(F.desc("count"), F.asc("value"))
    rows = (
        frame.select(F.inline(F.array(*pairs)))
        .where(F.col("value").isNotNull())
        .groupBy("name", "value")
        .count()
        .withColumn("place", F.row_number().over(best))
        .where(F.col("place") <= limit)
        .orderBy("name", "place")
        .collect()
    )
    return tuple(tuple(row["value"] for row in rows if row["name"] == name) for name in CATEGORICAL)


def encode(
    encoding: Encoding, batch: pa.RecordBatch | pa.Table
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Encodes rows.

    Returns:
        numbers: (rows, `encoding.width`), the numbers and then the flags (1: missing).
        codes: (rows, categories), each below its card.
    """
    numbers = np.empty((batch.num_rows, encoding.width), dtype=np.float32)
    for place, (name, mean, scale) in enumerate(zip(NUMERIC, encoding.means, encoding.scales, strict=True)):
        x = _doubles(batch.column(name))
        missing = np.isnan(x)
        z = np.clip((np.sign(x) * np.log1p(np.abs(x)) - mean) / scale, -CLIP, CLIP)
        numbers[:, place] = np.where(missing, 0.0, z)
        if name in FLAGGED:
            numbers[:, len(NUMERIC) + FLAGGED.index(name)] = missing
    codes = np.empty((batch.num_rows, len(CATEGORICAL)), dtype=np.int32)
    for place, (name, values) in enumerate(zip(CATEGORICAL, encoding.vocabularies, strict=True)):
        column = pc.cast(batch.column(name), pa.string())
        found = pc.fill_null(pc.add(pc.index_in(column, value_set=_array(values)), _FIRST), _UNKNOWN)
        code = pc.if_else(pc.is_null(column), _MISSING, found)
        codes[:, place] = np.asarray(code.to_numpy(zero_copy_only=False) if isinstance(code, pa.Array) else code)
    return numbers, codes


def _doubles(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float64]:
    doubles = pc.fill_null(pc.cast(column, pa.float64()), float("nan"))
    return np.asarray(doubles, dtype=np.float64)


@functools.cache
def _array(values: Sequence[str]) -> pa.Array:
    return pa.array(values, type=pa.string())
