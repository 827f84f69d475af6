"""`user_index`, `product_index`: 32-bit numbers for ids, appended, never renumbered."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from offerlake.errors import DataError

LARGEST = 2**31 - 1
_BUCKETS = 1024


def new_numbers(ids: DataFrame, index: DataFrame, *, key: str, largest: int = LARGEST) -> DataFrame:
    """Numbers the ids that have none yet, from the first free number on.

    The order is by hash bucket and id: the same whatever the partitioning, and no partition holds all ids.

    Args:
        ids: With the column `key`; repetitions and nulls are left out.
        index: key, idx: the numbers there are.
        key: user_id or product_id.
        largest: The largest number there may be.

    Returns:
        key, idx (int): the new rows only.

    Raises:
        DataError: They would go beyond `largest`.
    """
    wanted = ids.select(key).where(F.col(key).isNotNull()).distinct()
    fresh = wanted.join(index.select(key), on=key, how="left_anti").withColumn(
        "bucket", F.pmod(F.xxhash64(key), F.lit(_BUCKETS))
    )
    sizes = fresh.groupBy("bucket").agg(F.count(key).alias("size"))
    before = Window.partitionBy(F.lit(0)).orderBy("bucket").rowsBetween(Window.unboundedPreceding, -1)
    offsets = sizes.withColumn("offset", F.coalesce(F.sum("size").over(before), F.lit(0)))
    used = index.agg(F.coalesce(F.max("idx") + F.lit(1).cast("bigint"), F.lit(0).cast("bigint")).alias("first"))
    first, size = used.crossJoin(sizes.agg(F.coalesce(F.sum("size"), F.lit(0)).alias("size"))).first() or (0, 0)
    if first + size - 1 > largest:
        raise DataError(
            f"{key}: {first} ids have a number and {size} more want one",
            fix=f"ALS takes numbers up to {largest}; leave ids out that have not been seen for long.",
        )
    place = F.row_number().over(Window.partitionBy("bucket").orderBy(key)) - 1
    return (
        fresh.withColumn("place", place)
        .join(F.broadcast(offsets.select("bucket", "offset")), on="bucket", how="inner")
        .select(key, (F.lit(first) + F.col("offset") + F.col("place")).cast("int").alias("idx"))
    )
