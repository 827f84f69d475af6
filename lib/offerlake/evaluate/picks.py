"""What the report says of recommended products: why they are there, how much of the catalogue, and a few customers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.evaluate.words import SOURCES

_CUSTOMERS = 3
_FEWEST = 5  # purchases of a customer who is shown: with fewer there is little to compare with
_SHOWN = 5  # products a customer


@dataclass(frozen=True)
class Customer:
    """What a customer bought most often, and what is recommended first: names of products, and why each is there."""

    user_id: str
    bought: tuple[str, ...]
    got: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Picks:
    """The candidates of a day.

    Attributes:
        users: With a list.
        products: Different ones in all lists.
        catalogue: All products.
        sources: Recommendations by `source`.
        customers: A few with some purchases, drawn by a hash: the same as long as they buy.
    """

    users: int
    products: int
    catalogue: int
    sources: dict[str, int]
    customers: tuple[Customer, ...]


def picks(candidates: DataFrame, interactions: DataFrame, products: DataFrame) -> Picks:
    """Sums up `candidates`; a row a source and a few customers come to the driver.

    Args:
        candidates: The table as of the day.
        interactions: The table as of the day.
        products: The silver table.
    """
    items = candidates.select(F.explode("items").alias("item")).select("item.product_id", "item.source")
    by_source = [F.count_if(F.col("source") == source).alias(source) for source in SOURCES]
    by_product = items.groupBy("product_id").agg(*by_source)
    row = by_product.agg(F.count(F.lit(1)), *[F.coalesce(F.sum(name), F.lit(0)) for name in SOURCES]).collect()[0]
    return Picks(
        users=candidates.count(),
        products=row[0],
        catalogue=products.select("product_id").distinct().count(),
        sources=dict(zip(SOURCES, row[1:], strict=True)),
        customers=_customers(candidates, interactions, products),
    )


def _customers(candidates: DataFrame, interactions: DataFrame, products: DataFrame) -> tuple[Customer, ...]:
    often = F.sort_array(F.collect_list(F.struct(-F.col("purchases"), "product_id")))
    buyers = (
        interactions.where(F.col("purchases") > 0)
        .groupBy("user_id")
        .agg(F.sum("purchases").alias("n"), F.slice(often, 1, _SHOWN)["product_id"].alias("bought"))
        .where(F.col("n") >= _FEWEST)
        .join(candidates.select("user_id", F.slice("items", 1, _SHOWN).alias("got")), on="user_id", how="inner")
        .orderBy(F.xxhash64("user_id"), "user_id")
        .limit(_CUSTOMERS)
        .collect()
    )
    shown = {product for row in buyers for product in (*row["bought"], *(item["product_id"] for item in row["got"]))}
    named = _names(products, shown)
    return tuple(
        Customer(
            row["user_id"],
            tuple(named.get(product, product) for product in row["bought"]),
            tuple((named.get(item["product_id"], item["product_id"]), item["source"]) for item in row["got"]),
        )
        for row in buyers
    )


def _names(products: DataFrame, wanted: Collection[str]) -> dict[str, str]:
    """The newest name of each of a few products that has one."""
    known = products.where(F.col("product_id").isin([*wanted]) & F.col("name").isNotNull())
    rows = known.groupBy("product_id").agg(F.max_by("name", "arrived_at").alias("name")).collect()
    return {row["product_id"]: row["name"] for row in rows}
