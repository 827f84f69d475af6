"""How varied ranked lists of products are, and how near to what is popular anyway; computed in Spark.

Of a list's first k products, with p the share of the history's users who had a product:

    novelty@k     mean of −log2 p, where p = (users who had it + 1) / (users + 1) (self-information; Zhou et al. 2010)
    popularity@k  mean of p (average recommendation popularity; Abdollahpouri, Burke and Mobasher 2019)
    diversity@k   share of pairs of other categories among all pairs; null for a single product (the mean dissimilarity
                  of Smyth and McClave 2001)
    coverage@k    of all lists: products in some list / products of the catalogue
    gini@k        of all lists: Gini coefficient of how often each product of the catalogue is in one: 0 all alike, near
                  1 a few only
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F


def per_list(
    shown: DataFrame, *, ks: Sequence[int], history: DataFrame | None, products: DataFrame | None
) -> DataFrame:
    """The metrics of each list.

    Args:
        shown: What `ranking.ranked` gives.
        ks: How many of the first places count.
        history: user_id, product_id: who had what before; None: no novelty and popularity.
        products: product_id, category; None: no diversity.

    Returns:
        user_id, and one double a metric: `novelty@k`, `popularity@k`, `diversity@k`.
    """
    shown = shown.where(F.col("rank") <= max(ks))
    metrics: list[Column] = []
    if history is not None:
        shown = shown.join(popularity(history), on="product_id", how="left")
        for k in ks:
            near = F.col("rank") <= k
            metrics += [
                F.avg(F.when(near, F.coalesce("novelty", "unseen"))).alias(f"novelty@{k}"),
                F.avg(F.when(near, F.coalesce("popularity", F.lit(0.0)))).alias(f"popularity@{k}"),
            ]
        users = history.agg(F.log2(F.count_distinct("user_id") + 1.0).alias("unseen"))
        shown = shown.crossJoin(F.broadcast(users))
    if products is not None:
        kinds = products.select("product_id", "category").dropDuplicates(["product_id"])
        # A product of no category is like no other.
        kind = F.coalesce("category", F.concat(F.lit("\x1f"), "product_id"))
        own = Window.partitionBy("user_id", "kind").orderBy("rank")
        shown = (
            shown.join(kinds, on="product_id", how="left")
            .withColumn("kind", kind)
            .withColumn("alike", F.row_number().over(own) - 1)  # pairs of its category that it makes with those before
        )
        for k in ks:
            number = F.count_if(F.col("rank") <= k)
            same = F.sum(F.when(F.col("rank") <= k, F.col("alike")))
            metrics.append((1 - F.try_divide(same, number * (number - 1) / 2)).alias(f"diversity@{k}"))
    return shown.groupBy("user_id").agg(*metrics) if metrics else shown.select("user_id").distinct()


def popularity(history: DataFrame) -> DataFrame:
    """product_id, popularity (share of the history's users, 0 to 1) and novelty (bits)."""
    pairs = history.select("user_id", "product_id").distinct()
    users = F.broadcast(pairs.agg(F.count_distinct("user_id").alias("users")))
    counted = pairs.groupBy("product_id").agg(F.count(F.lit(1)).alias("had")).crossJoin(users)
    return counted.select(
        "product_id",
        (F.col("had") / F.col("users")).alias("popularity"),
        (-F.log2((F.col("had") + 1) / (F.col("users") + 1))).alias("novelty"),
    )


def of_all(shown: DataFrame, catalogue: DataFrame, *, ks: Sequence[int]) -> dict[str, float]:
    """`coverage@k` and `gini@k`, each 0 to 1; nothing for a catalogue without products.

    Args:
        shown: What `ranking.ranked` gives.
        catalogue: product_id: what could have been shown; products that are not in it do not count.
        ks: How many of the first places count.
    """
    counts = [F.count_if(F.col("rank") <= k).alias(f"n_{k}") for k in ks]
    times = shown.groupBy("product_id").agg(*counts)
    every = catalogue.select("product_id").distinct().join(times, on="product_id", how="left").na.fill(0).cache()
    found: dict[str, float] = {}
    for k in ks:
        # Products that were shown as often as one another are one row.
        rows = every.groupBy(f"n_{k}").agg(F.count(F.lit(1)).alias("products")).orderBy(f"n_{k}").collect()
        number, total = sum(row["products"] for row in rows), sum(row[f"n_{k}"] * row["products"] for row in rows)
        if not number:
            break
        found[f"coverage@{k}"] = sum(row["products"] for row in rows if row[f"n_{k}"]) / number
        below, area = 0, 0.0
        for row in rows:
            here = row[f"n_{k}"] * row["products"]
            area += row["products"] * (2 * below + here)
            below += here
        found[f"gini@{k}"] = 1 - area / (number * total) if total else 0.0
    every.unpersist()
    return found
