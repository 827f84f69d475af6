"""The catalogue: products as a function of their number, and what a basket costs on average.

Product `p` is number `p % n` (its rank by price) of category `p // n`, with `n` products a category. Price and cost are
formulas of the two, so that events name prices without a join.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.randomness import uniform
from offerlake.simulate.words import ADJECTIVES, BRANDS, NOUNS, PRAISES, PURPOSES


@dataclass(frozen=True)
class Category:
    """One top category: prices go from `low` to `high` (money, log-linear in rank), `margin` is the mean share kept."""

    name: str
    low: float
    high: float
    margin: float


CATEGORIES = (
    Category("Kitchen", 4, 30, 0.300),
    Category("Garden", 5, 40, 0.311),
    Category("Toys", 6, 50, 0.322),
    Category("Sports", 8, 90, 0.333),
    Category("Electronics", 10, 120, 0.344),
    Category("Beauty", 6, 45, 0.356),
    Category("Books", 4, 25, 0.367),
    Category("Fashion", 12, 160, 0.378),
    Category("Pets", 8, 70, 0.389),
    Category("Office", 5, 35, 0.400),
)
MARGIN_SPREAD = 0.10
"""Width of the uniform spread of the products' margins around their category's."""


def per_category(products: int) -> int:
    """Products in each category: all have as many."""
    return products // len(CATEGORIES)


def pick(values: tuple[float, ...] | tuple[str, ...], index: Column) -> Column:
    """The value at a 0-based index, of a tuple of constants."""
    return F.element_at(F.array(*[F.lit(value) for value in values]), index.cast("int") + 1)


def price_cents(category: Column, rank: Column, size: int) -> Column:
    """List price in cents: ceil(low · (high / low)^((rank + ½) / n)) whole units, less one cent."""
    low = pick(tuple(c.low for c in CATEGORIES), category)
    ratio = pick(tuple(c.high / c.low for c in CATEGORIES), category)
    units = F.ceil(low * F.pow(ratio, (rank + F.lit(0.5)) / F.lit(float(size))))
    return (units * F.lit(100) - F.lit(1)).cast("bigint")


def cost_cents(category: Column, rank: Column, size: int, seed: int) -> Column:
    """Unit cost in cents: price · (1 − margin of the category − spread · (U − ½)), rounded."""
    margin = pick(tuple(c.margin for c in CATEGORIES), category)
    noise = (uniform(seed, "unit cost", category.cast("int"), rank.cast("int")) - 0.5) * F.lit(MARGIN_SPREAD)
    return F.round(price_cents(category, rank, size) * (F.lit(1.0) - margin - noise)).cast("bigint")


def product_id(category: Column, rank: Column, size: int) -> Column:
    """The id: `P` and five digits or more."""
    number = category.cast("bigint") * F.lit(size) + rank.cast("bigint")
    return F.concat(F.lit("P"), F.lpad(number.cast("string"), 5, "0"))


def money(cents: Column) -> Column:
    """Cents as a decimal of money."""
    return (cents / F.lit(100)).cast("decimal(18,2)")


def noun(category: Column, rank: Column, seed: int) -> Column:
    """What a product is, such as `wok`."""
    return F.split(_place(category, rank, seed), ":")[1]


def _place(category: Column, rank: Column, seed: int) -> Column:
    """Subcategory and noun, joined by a colon."""
    names = [[f"{part}:{word}" for part, words in NOUNS[c.name].items() for word in words] for c in CATEGORIES]
    places = [F.array(*map(F.lit, some)) for some in names]
    return _any(F.element_at(F.array(*places), category.cast("int") + 1), "place", category, rank, seed)


def _any(values: Column, purpose: str, category: Column, rank: Column, seed: int) -> Column:
    draw = uniform(seed, purpose, category.cast("int"), rank.cast("int"))
    return F.element_at(values, (F.floor(draw * F.size(values)) + 1).cast("int"))


def catalogue(spark: SparkSession, *, products: int, seed: int, known: datetime) -> DataFrame:
    """The products, one row each.

    Returns:
        category_index, rank, price_cents, cost_cents, and the columns of the feed `products` in raw shape: sku, title,
        category (path), brand, price, cost, description, updated_ms (epoch milliseconds: `known`).
    """
    size = per_category(products)
    category, rank = F.col("category_index"), F.col("rank")

    def word(values: tuple[str, ...], purpose: str) -> Column:
        return _any(F.array(*[F.lit(value) for value in values]), purpose, category, rank, seed)

    tier = F.least(
        F.floor((0.6 * rank / size + 0.4 * uniform(seed, "brand", category, rank)) * 4).cast("int"), F.lit(3)
    )
    brands = F.array(*[F.array(*[F.lit(brand) for brand in BRANDS[c.name]]) for c in CATEGORIES])
    number = F.col("id")
    return (
        spark.range(size * len(CATEGORIES))
        .select(F.floor(number / size).cast("int").alias("category_index"), (number % size).cast("int").alias("rank"))
        .select(
            "category_index",
            "rank",
            price_cents(category, rank, size).alias("price_cents"),
            cost_cents(category, rank, size, seed).alias("cost_cents"),
            product_id(category, rank, size).alias("sku"),
            F.split(_place(category, rank, seed), ":").alias("place"),
            pick(tuple(c.name for c in CATEGORIES), category).alias("top"),
            F.element_at(F.element_at(brands, category + 1), tier + 1).alias("brand"),
            word(ADJECTIVES, "adjective").alias("adjective"),
            word(PURPOSES, "purpose").alias("purpose"),
            word(PRAISES, "praise").alias("praise"),
        )
        .select(
            "category_index",
            "rank",
            "price_cents",
            "cost_cents",
            "sku",
            F.concat_ws(" ", F.initcap("adjective"), F.col("place")[1]).alias("title"),
            F.concat_ws(" > ", "top", F.col("place")[0]).alias("category"),
            "brand",
            money(F.col("price_cents")).alias("price"),
            money(F.col("cost_cents")).alias("cost"),
            F.format_string(
                'A %s %s by "%s", %s, %s.', F.col("adjective"), F.col("place")[1], "brand", "purpose", "praise"
            ).alias("description"),
            F.lit(int(known.timestamp() * 1000)).cast("bigint").alias("updated_ms"),
        )
    )  # fmt: skip
