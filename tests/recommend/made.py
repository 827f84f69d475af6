"""A small shop with two tastes: users a… buy tea, users b… buy tools; everybody has left out one product of theirs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

AS_OF = date(2025, 3, 1)
EACH = 6
SCHEMA = (
    "as_of date, user_id string, product_id string, weight double, purchases int, first_time timestamp, "
    "last_time timestamp"
)


def interactions(spark: SparkSession, rows: Iterable[tuple[str, str, float, int]], *, day: int = 20) -> DataFrame:
    """Rows of user, product, weight, purchases; the last event on that day of February."""
    time = datetime(2025, 2, day, tzinfo=UTC)
    return spark.createDataFrame([(AS_OF, *row, time, time) for row in rows], SCHEMA)


def tastes(*, purchases: int = 1) -> list[tuple[str, str, float, int]]:
    """User i of a taste has everything of his taste but its product i."""
    return [
        (f"{user}{i}", f"{kind}{j}", 6.0, purchases)
        for user, kind in (("a", "tea"), ("b", "tool"))
        for i in range(EACH)
        for j in range(EACH)
        if i != j
    ]


def index(spark: SparkSession, frame: DataFrame, key: str) -> DataFrame:
    """Numbers against the order of the ids, so that a mix-up of number and place shows."""
    ids = sorted({row[0] for row in frame.select(key).collect()}, reverse=True)
    return spark.createDataFrame([(name, 3 * place) for place, name in enumerate(ids)], f"{key} string, idx int")


def shown(product_index: DataFrame) -> DataFrame:
    """All products may be shown; those of a kind are a category, and no price is known."""
    kind = F.regexp_extract("product_id", "^[a-z]+", 0).alias("category")
    return product_index.select("product_id", kind, F.lit(None).cast("double").alias("price"))


def known(product_index: DataFrame) -> DataFrame:
    """All that is known of products is their kind."""
    blank = ("name", "description", "brand", "price", "stock")
    return shown(product_index).withColumns({name: F.lit(None).cast("string") for name in blank})
