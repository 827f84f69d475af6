"""Implicit ALS (Hu, Koren and Volinsky, 2008) by Spark ML, on `interactions` with their 32-bit numbers."""

from __future__ import annotations

from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.config import RecommendSettings
from offerlake.errors import DataError


def ratings(interactions: DataFrame, user_index: DataFrame, product_index: DataFrame) -> DataFrame:
    """What ALS takes: user (int), product (int), weight (float).

    Rows without a number for their user or product, and weights that are not finite and above 0, are left out.
    """
    usable = (F.col("weight") > 0) & ~F.isnan("weight") & (F.col("weight") < F.lit(float("inf")))
    return (
        interactions.where(usable)
        .join(user_index.withColumnRenamed("idx", "user"), on="user_id", how="inner")
        .join(product_index.withColumnRenamed("idx", "product"), on="product_id", how="inner")
        .select("user", "product", F.col("weight").cast("float").alias("weight"))
    )


def user_factors(model: ALSModel, user_index: DataFrame) -> DataFrame:
    """The users' factors by their ids: user_id, features."""
    factors = model.userFactors.withColumnRenamed("id", "idx")
    return factors.join(user_index, on="idx", how="inner").select("user_id", "features")


def fit(rated: DataFrame, *, settings: RecommendSettings, seed: int) -> ALSModel:
    """Factors that minimise Σ c·(p − uᵀv)² + λ·n·(|u|² + |v|²) with c = 1 + α·weight and p = 1 where weight > 0.

    The rows are placed and sorted by their numbers before, so that the same data give the same factors.

    Args:
        rated: What `ratings` gives.
        settings: rank, iterations, regularisation λ, alpha α, blocks.
        seed: Of the first factors.

    Raises:
        DataError: There are no rows.
    """
    placed = rated.repartition(settings.blocks, "user").sortWithinPartitions("user", "product")
    if placed.isEmpty():
        raise DataError(
            "interactions: no user has viewed or bought a known product before the day",
            fix="Give a later as_of, or check that clicks or orders name products of the feed products.",
        )
    als = ALS(
        rank=settings.rank,
        maxIter=settings.iterations,
        regParam=settings.regularisation,
        alpha=settings.alpha,
        implicitPrefs=True,
        numUserBlocks=settings.blocks,
        numItemBlocks=settings.blocks,
        checkpointInterval=-1,  # a lineage of a few sweeps needs none
        seed=seed,
        userCol="user",
        itemCol="product",
        ratingCol="weight",
    )
    return als.fit(placed)
