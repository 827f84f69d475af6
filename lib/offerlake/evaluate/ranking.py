"""How good ranked lists of products are, against what users then did; computed in Spark.

The mean is over users with at least one truth item; one of them without a recommendation counts 0. Below, rel is a
product's relevance (1 where none is given, 0 where it is not in the truth), P@j the share of hits among the first j.

    precision@k  hits among the first k / k
    recall@k     hits among the first k / |truth|
    hit_rate@k   1 where there is a hit among the first k
    map@k        Σ over hits at place j ≤ k of P@j / min(k, |truth|)
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
        recommendations: user_id, product_id and `rank` (small is good) or `score` (large is good). Ties are broken by
            product_id; of a product named twice the better place counts.
    """
    order = F.col("rank").asc() if "rank" in recommendations.columns else F.col("score").desc_nulls_last()
    first = Window.partitionBy("user_id", "product_id").orderBy(order)
    return (
        recommendations.withColumn("_nth", F.row_number().over(first))
        .where(F.col("_nth") == 1)
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
    graded = F.col("relevance").cast("double") if "relevance" in truth.columns else F.lit(1.0)
    wanted = (
        truth.select("user_id", "product_id", graded.alias("relevance"))
        .where(F.col("relevance") > 0)
        .groupBy("user_id", "product_id")
        .agg(F.max("relevance").alias("relevance"))
    )
    ideal = wanted.groupBy("user_id").agg(
        F.count("product_id").alias("size"), F.sort_array(F.collect_list("relevance"), asc=False).alias("ideal")
    )
    found = (
        ranked(recommendations)
        .join(wanted, on=["user_id", "product_id"], how="inner")
        .withColumn("hits", F.row_number().over(Window.partitionBy("user_id").orderBy("rank")))
        .groupBy("user_id")
        .agg(F.sort_array(F.collect_list(F.struct("rank", "hits", "relevance"))).alias("found"))
    )
    nothing = F.array().cast("array<struct<rank:int,hits:int,relevance:double>>")
    first = F.try_divide(F.lit(1.0), F.get("found", F.lit(0))["rank"])
    return (
        ideal.join(found, on="user_id", how="left")
        .withColumn("found", F.coalesce("found", nothing))
        .select(
            "user_id",
            F.coalesce(first, F.lit(0.0)).alias("mrr"),
            *[metric for k in sorted(set(ks)) for metric in _at(k)],
        )
    )


def coverage(recommendations: DataFrame, *, k: int, products: int) -> DataFrame:
    """Share of `products` that stand among the first k of anybody: one row, `coverage` (double, 0 to 1)."""
    shown = ranked(recommendations).where(F.col("rank") <= k).select("product_id").distinct()
    return shown.agg(F.coalesce(F.try_divide(F.count("product_id"), F.lit(products)), F.lit(0.0)).alias("coverage"))


def _at(k: int) -> list[Column]:
    """The metrics of the first k places, from `found` (rank, hits, relevance; in order), `ideal` and `size`."""
    near = F.filter("found", lambda hit: hit["rank"] <= k)
    hits = F.size(near).cast("double")
    least = F.least(F.col("size"), F.lit(k)).cast("double")
    precisions = _sum(F.transform(near, lambda hit: hit["hits"] / hit["rank"]))
    gain = _sum(F.transform(near, lambda hit: _gain(hit["relevance"], hit["rank"])))
    best = _sum(F.transform(F.slice("ideal", 1, k), lambda relevance, place: _gain(relevance, place + 1)))
    return [
        (hits / k).alias(f"precision@{k}"),
        (hits / F.col("size")).alias(f"recall@{k}"),
        (hits > 0).cast("double").alias(f"hit_rate@{k}"),
        (precisions / least).alias(f"map@{k}"),
        (gain / best).alias(f"ndcg@{k}"),
    ]


def _gain(relevance: Column, place: Column) -> Column:
    return (F.pow(F.lit(2.0), relevance) - 1) / F.log2(place.cast("double") + 1)


def _sum(values: Column) -> Column:
    return F.aggregate(values, F.lit(0.0), lambda total, value: total + value)
