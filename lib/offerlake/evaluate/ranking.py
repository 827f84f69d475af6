"""How good ranked lists of products are, against what users then did; computed in Spark.

The mean is over users with at least one truth item; one of them without a recommendation counts 0. Below, rel is a
product's relevance (1 where none is given, 0 where it is not in the truth), P@j the share of hits among the first j.

    precision@k  hits among the first k / k
    recall@k     hits among the first k / |truth|
    hit_rate@k   1 where there is a hit among the first k
    map@k        Σ over hits at place j ≤ k of P@j / min(k, |truth|); map_truth@k: / |truth|
    ndcg@k       DCG@k / the best DCG@k there could be, DCG@k = Σ over places j ≤ k of (2^rel − 1) / log2(j + 1)
    mrr          1 / place of the first hit, 0 without one

Precision, recall, MAP and binary NDCG are those of Spark's `RankingMetrics`, which also counts users without truth.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from offerlake.errors import ConfigError


def ranked(recommendations: DataFrame) -> DataFrame:
    """Recommendations with gapless places: user_id, product_id, rank (from 1).

    Args:
        recommendations: user_id, product_id and `rank` (small is good) or `score` (large is good, none or NaN last).
            Ties are broken by product_id; of a product named twice the better place counts.
    """
    by_rank = "rank" in recommendations.columns
    place = F.min("rank") if by_rank else F.max(F.nanvl(F.col("score").cast("double"), F.lit(None)))
    order = F.asc("_place") if by_rank else F.desc_nulls_last("_place")
    return (
        recommendations.repartition("user_id")  # one shuffle for both
        .groupBy("user_id", "product_id")
        .agg(place.alias("_place"))
        .withColumn("rank", F.row_number().over(Window.partitionBy("user_id").orderBy(order, "product_id")))
        .select("user_id", "product_id", "rank")
    )


def per_user(recommendations: DataFrame, truth: DataFrame, *, ks: Sequence[int]) -> DataFrame:
    """The metrics of each user who has a truth item.

    Args:
        recommendations: What `ranked` takes.
        truth: user_id, product_id, and relevance (≥ 0) where it is graded; 0 is no truth item.
        ks: How many of the first places count.

    Returns:
        user_id, and one double a metric, 0 to 1: mrr, and the others for each k, named such as `ndcg@10`.

    Raises:
        ConfigError: A k is below 1, or there is none.
    """
    if not ks or min(ks) < 1:
        raise ConfigError(f"k: got {list(ks)}", fix="Give whole numbers from 1, such as 5,10,20.")
    places = sorted(set(ks))
    wanted = truth_of(truth)
    best = Window.partitionBy("user_id").orderBy(F.desc("relevance"), "product_id")
    ideal = (
        wanted.withColumn("place", F.row_number().over(best))
        .groupBy("user_id")
        .agg(F.count("product_id").alias("size"), *[_until(k, _gain()).alias(f"ideal_{k}") for k in places])
    )
    found = (
        ranked(recommendations)
        .withColumnRenamed("rank", "place")
        .join(wanted, on=["user_id", "product_id"], how="inner")
        .withColumn("hits", F.row_number().over(Window.partitionBy("user_id").orderBy("place")))
        .groupBy("user_id")
        .agg(
            (1 / F.min("place")).alias("mrr"),
            *[_until(k, F.lit(1.0)).alias(f"hits_{k}") for k in places],
            *[_until(k, F.col("hits") / F.col("place")).alias(f"precisions_{k}") for k in places],
            *[_until(k, _gain()).alias(f"gain_{k}") for k in places],
        )
    )
    both = ideal.join(found, on="user_id", how="left").na.fill(0.0)
    return both.select("user_id", "mrr", *[metric for k in places for metric in _at(k)])


def truth_of(truth: DataFrame) -> DataFrame:
    """Each truth item once: user_id, product_id, relevance (double, above 0; of a product named twice the highest)."""
    graded = F.nanvl(F.col("relevance").cast("double"), F.lit(0.0)) if "relevance" in truth.columns else F.lit(1.0)
    return (
        truth.select("user_id", "product_id", graded.alias("relevance"))
        .where(F.col("relevance") > 0)
        .groupBy("user_id", "product_id")
        .agg(F.max("relevance").alias("relevance"))
    )


def _gain() -> Column:
    return (F.pow(F.lit(2.0), F.col("relevance")) - 1) / F.log2(F.col("place").cast("double") + 1)


def _until(k: int, value: Column) -> Column:
    """Sum of a value over the first k places."""
    return F.coalesce(F.sum(F.when(F.col("place") <= k, value)), F.lit(0.0))


def _at(k: int) -> list[Column]:
    hits, size = F.col(f"hits_{k}"), F.col("size")
    return [
        (hits / k).alias(f"precision@{k}"),
        (hits / size).alias(f"recall@{k}"),
        (hits > 0).cast("double").alias(f"hit_rate@{k}"),
        (F.col(f"precisions_{k}") / F.least(size, F.lit(k))).alias(f"map@{k}"),
        (F.col(f"precisions_{k}") / size).alias(f"map_truth@{k}"),
        (F.col(f"gain_{k}") / F.col(f"ideal_{k}")).alias(f"ndcg@{k}"),
    ]
