"""What customers will spend, by boosted trees: P(buys at all) × what a buyer spends, log-normal given what is known.

The zero-inflated log-normal of Wang, Liu and Miao (2019), with trees instead of a network. It sees what BG/NBD does not
(visits, what was bought lately), needs a window of the past to learn from, and looks as far ahead as that is long.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from pyspark import StorageLevel
from pyspark.ml.classification import GBTClassificationModel, GBTClassifier
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.regression import GBTRegressionModel, GBTRegressor
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake import files
from offerlake.config import ClvSettings
from offerlake.value.histories import RECENT

_COLUMNS = ("frequency", "recency_days", "age_days", "monetary", *RECENT)
_LEAST = 20  # buyers, and customers who bought nothing, without whom nothing is learnt


@dataclass(frozen=True)
class Boosted:
    """Two fitted models.

    Attributes:
        buys: P(any purchase in the window).
        amount: Mean of the logarithm of what buyers spend.
        factor: From exp of that mean to the mean: what buyers spent over Σ exp(mean), the log-normal's exp(σ² / 2)
            estimated without assuming it (Duan 1983).
    """

    buys: GBTClassificationModel
    amount: GBTRegressionModel
    factor: float

    def save(self, spark: SparkSession, file: Callable[[str], str]) -> None:
        """Writes the models to the folders `boosted/buys` and `boosted/amount`, the factor to `boosted.json`.

        Args:
            spark: The session.
            file: Name to URI, such as a model's `file`.
        """
        self.buys.write().save(file("boosted/buys"))
        self.amount.write().save(file("boosted/amount"))
        files.write_bytes(spark, file("boosted.json"), json.dumps({"factor": self.factor}).encode())

    @classmethod
    def load(cls, spark: SparkSession, file: Callable[[str], str]) -> Boosted:
        """Reads what `save` wrote."""
        factor = json.loads(files.read_bytes(spark, file("boosted.json")))["factor"]
        buys, amount = file("boosted/buys"), file("boosted/amount")
        return cls(GBTClassificationModel.load(buys), GBTRegressionModel.load(amount), factor)


def train(customers: DataFrame, *, settings: ClvSettings, seed: int) -> Boosted | None:
    """Learns from customers as they were before a window, and what they spent in it.

    Args:
        customers: What `histories.summary` gives as of the window's begin, with `money`: what was spent in it.
        settings: trees, depth.
        seed: `run.seed`.

    Returns:
        The models; None where fewer than 20 spent something, or fewer than 20 nothing.
    """
    paid = F.col("money") > 0
    made = _with_traits(customers).select(
        "user_id", "traits", paid.cast("double").alias("bought"), F.log(F.when(paid, F.col("money"))).alias("log_money")
    )
    # Partitions and their order depend on the keys only, so that the trees are the same in every run.
    parts = customers.sparkSession.sparkContext.defaultParallelism
    rows = made.repartition(parts, "user_id").sortWithinPartitions("user_id").persist(StorageLevel.MEMORY_AND_DISK)
    try:
        buyers = rows.where(F.col("bought") == 1)
        counted = rows.agg(F.count(F.lit(1)).alias("n"), F.coalesce(F.sum("bought"), F.lit(0.0)).alias("ones")).first()
        assert counted is not None
        if min(counted["ones"], counted["n"] - counted["ones"]) < _LEAST:
            return None
        trees, depth = settings.trees, settings.depth
        buys = GBTClassifier(featuresCol="traits", labelCol="bought", maxIter=trees, maxDepth=depth, seed=seed)
        amount = GBTRegressor(featuresCol="traits", labelCol="log_money", maxIter=trees, maxDepth=depth, seed=seed)
        chance, mean = buys.fit(rows), amount.fit(buyers)
        sums = mean.transform(buyers).agg(F.sum(F.exp("log_money")), F.sum(F.exp("prediction"))).first()
        assert sums is not None
        return Boosted(chance, mean, float(sums[0] / sums[1]))
    finally:
        rows.unpersist()


def predict(customers: DataFrame, model: Boosted, *, column: str) -> DataFrame:
    """Adds what customers, as `histories.summary` gives them, are expected to spend in a window after (double, ≥ 0)."""
    kept = customers.columns
    chance = vector_to_array(F.col("probability"))[1].alias("chance")
    judged = model.buys.transform(_with_traits(customers)).select(*kept, "traits", chance)
    valued = model.amount.transform(judged)
    spent = F.col("chance") * F.exp("prediction") * F.lit(model.factor)
    return valued.select(*kept, F.round(spent, 9).alias(column))


def _with_traits(customers: DataFrame) -> DataFrame:
    idle = F.col("age_days") - F.col("recency_days")
    columns = [F.log1p(F.greatest(F.coalesce(F.col(name), F.lit(0)).cast("double"), F.lit(0.0))) for name in _COLUMNS]
    return customers.withColumn("traits", array_to_vector(F.array(*columns, F.log1p(idle.cast("double")))))
