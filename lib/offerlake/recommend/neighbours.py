"""Which products are bought together: by the same users, and in the same orders (rules for cross-selling).

With N the units (users or orders), n_a those with product a and n_ab those with both:

    confidence of a → b = n_ab / n_a
    lift                = n_ab · N / (n_a · n_b)          1: no more often than by chance
    cosine              = n_ab / √(n_a · n_b)             of the two columns of the unit × product matrix of 0 and 1

(Agrawal, Imieliński and Swami 1993; Sarwar et al. 2001, section 3.1). Pairs are counted as products of sparse matrices,
some ten thousand units at a time, so that Spark gets counts and not a row for each pair of each unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from offerlake.config import NeighbourSettings
from offerlake.randomness import uniform

_ROWS = 200_000  # rows of units and products counted at once: of 50 products a unit at most ten million pairs
_PAIRS = pa.schema([("a", pa.int32()), ("b", pa.int32()), ("n", pa.int64())])


def neighbours(bought: DataFrame, *, settings: NeighbourSettings, seed: int) -> DataFrame:
    """The products most often bought with each product.

    Args:
        bought: unit (string), product (int): repetitions are left out.
        settings: `most` products of a unit count, drawn at random where it has more; pairs of fewer than `least` units
            are left out; `keep` of a product stay, those with the highest `by` (cosine or lift), ties to more units,
            then to the smaller number.
        seed: Of the draws.

    Returns:
        product, neighbour (int), rank (int, from 1), units (bigint: n_ab), confidence, lift, cosine (double).
    """
    drawn = Window.partitionBy("unit").orderBy(uniform(seed, "neighbours", F.col("unit"), F.col("product")), "product")
    kept = (
        bought.select("unit", "product")
        .distinct()
        .withColumn("place", F.row_number().over(drawn))
        .where(F.col("place") <= settings.most)
        .select("unit", "product")
    )
    counted = kept.groupBy("product").agg(F.count("unit").alias("n"))
    units = kept.agg(F.count_distinct("unit").alias("units_all"))
    pairs = kept.mapInArrow(_count, "a int, b int, n bigint").groupBy("a", "b").agg(F.sum("n").alias("units"))
    pairs = pairs.where(F.col("units") >= settings.least)
    both = pairs.selectExpr("a AS product", "b AS neighbour", "units").unionByName(
        pairs.selectExpr("b AS product", "a AS neighbour", "units")
    )
    of_neighbour = counted.selectExpr("product AS neighbour", "n AS n_neighbour")
    joined = both.join(counted, on="product", how="inner").join(of_neighbour, on="neighbour", how="inner")
    together, n, m = F.col("units"), F.col("n"), F.col("n_neighbour")
    best = Window.partitionBy("product").orderBy(F.desc(settings.by), F.desc("units"), "neighbour")
    return (
        joined.crossJoin(F.broadcast(units))
        .withColumns(
            {
                "confidence": together / n,
                "lift": together * F.col("units_all") / (n.cast("double") * m),
                "cosine": together / F.sqrt(n.cast("double") * m),
            }
        )
        .withColumn("rank", F.row_number().over(best))
        .where(F.col("rank") <= settings.keep)
        .select("product", "neighbour", "rank", "units", "confidence", "lift", "cosine")
    )


def _count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Counts pairs a < b of rows unit, product; the rows of a unit lie together."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= _ROWS:
            table = pa.Table.from_batches(held)
            whole = pc.index(table["unit"], table["unit"][-1]).as_py()  # the last unit may go on
            if whole:
                yield _pairs(table.slice(0, whole))
                held = table.slice(whole).to_batches()
                rows -= whole
    if held:
        yield _pairs(pa.Table.from_batches(held))


def _pairs(table: pa.Table) -> pa.RecordBatch:
    unit = table["unit"].combine_chunks().dictionary_encode().indices.to_numpy()
    products, product = np.unique(table["product"].to_numpy(), return_inverse=True)
    bought = sp.csr_matrix((np.ones(len(unit), dtype=np.int32), (unit, product)), shape=(unit.max() + 1, len(products)))
    both = sp.triu(bought.T @ bought, k=1).tocoo()
    columns = [products[both.row], products[both.col], both.data.astype(np.int64)]
    return pa.RecordBatch.from_arrays(
        [pa.array(c, f.type) for c, f in zip(columns, _PAIRS, strict=True)], schema=_PAIRS
    )
