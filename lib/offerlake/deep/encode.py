"""From feature columns to a network's numbers: learnt on training rows, the same in training and in scoring.

A number x becomes (sign(x)·log(1 + |x|) − mean) / scale, clipped to ±`CLIP`; a missing one 0, with a flag of its own.
A category becomes its code in the vocabulary: 0 what is not in it, 1 missing, from 2 on the values.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Window
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
    """Learns an encoding from training rows, in two passes; a row a partition and the vocabularies come to the driver.

    Args:
        frame: Training rows with the columns of `NUMERIC` and `CATEGORICAL`.
        vocabulary: Values kept of a category, the most frequent; ties by value.

    Raises:
        DataError: There are no rows.
    """
    parts = frame.select(*[F.col(name).cast("double") for name in NUMERIC]).mapInArrow(_summed, _SUMMED).collect()
    if not parts:
        raise DataError(
            "examples: no training rows", fix="Run the experiment longer, or set a later response.test_from."
        )
    moments = reduce(_added, (_Moments(*(np.array(part[name]) for name in _Moments._fields)) for part in parts))
    return Encoding(
        means=tuple(_stable(mean) for mean in moments.mean),
        scales=tuple(_stable(x) or 1.0 for x in np.sqrt(moments.squares / np.maximum(moments.known, 1))),
        vocabularies=_vocabularies(frame, limit=vocabulary),
    )


class _Moments(NamedTuple):
    """Of each number: in how many rows it is, its mean there, and the sum of squared deviations from it."""

    known: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]


_SUMMED = ", ".join(f"{name} array<double>" for name in _Moments._fields)
_NONE = _Moments(*np.zeros((3, len(NUMERIC))))


def _summed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The moments of a partition; nothing of one without rows."""
    found = _NONE
    for batch in batches:
        x = np.column_stack([_squeezed(_doubles(batch.column(name))) for name in NUMERIC])
        there = np.isfinite(x)
        known = there.sum(axis=0).astype(np.float64)
        mean = np.where(there, x, 0.0).sum(axis=0) / np.maximum(known, 1)
        squares = (np.where(there, x - mean, 0.0) ** 2).sum(axis=0)
        found = _added(found, _Moments(known, mean, squares))
    if found is not _NONE:
        yield pa.RecordBatch.from_pylist([{name: part.tolist() for name, part in found._asdict().items()}])


def _added(one: _Moments, other: _Moments) -> _Moments:
    """Of both together (Chan, Golub and LeVeque 1983)."""
    known, apart = one.known + other.known, other.mean - one.mean
    share = other.known / np.maximum(known, 1)
    squares = one.squares + other.squares + apart**2 * one.known * share
    return _Moments(known, one.mean + apart * share, squares)


def _squeezed(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.sign(x) * np.log1p(np.abs(x))


def _stable(x: float) -> float:
    # Nine digits: a sum of doubles differs in the last ones with the order of the rows.
    return float(f"{x:.9g}")


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
        z = np.clip((_squeezed(x) - mean) / scale, -CLIP, CLIP)
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
