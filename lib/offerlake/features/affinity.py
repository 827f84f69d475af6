"""Which categories and brands a user's views and purchases lie in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from offerlake.categories import top_category
from offerlake.features.catalogue import POSITION_UNIT, month_of, monthly_positions, signs, with_position
from offerlake.features.clocks import versions
from offerlake.features.windowed import YEAR, Days
from offerlake.schemas.gold import USER_CATEGORY_DAYS


def days_by(what: str, seen: DataFrame, products: DataFrame, *sums: Column) -> DataFrame:
    """Signs by user, day and category or brand.

    A sign counts for what its product is as of a day: versions of the product that follow each other take it over
    from one another.

    Args:
        what: `category` or `brand`.
        seen: What `catalogue.signs` gives.
        products: Silver, whole.
        sums: Further aggregates.

    Returns:
        user_id, `what`, event_day, since, known_to (dates), signs (bigint, > 0), `sums`.
    """
    dated = versions(products.withColumn("category", top_category(F.col("category"))), "product_id", [what])
    known_to = F.coalesce("known_to", F.lit(date.max))
    return (
        seen.join(dated.where(F.col(what).isNotNull()), on="product_id", how="inner")
        .groupBy(
            "user_id", what, "event_day", F.greatest("since", "known_from").alias("since"), known_to.alias("known_to")
        )
        .agg(F.count("product_id").alias("signs"), *sums)
    )


def signs_by(what: str, as_ofs: Sequence[date], days: DataFrame) -> DataFrame:
    """Sums over the 364 days before each day: as_of, user_id, `what`, signs (> 0), and `_PLACES` that `days` has.

    What counts of a category changes where a row enters or leaves; in between it stays, and is told for each day. One
    shuffle, by the user.
    """
    wanted = Days(as_ofs)
    sums = ["signs", *[name for name in _PLACES if name in days.columns]]
    leaves = F.least(F.date_add("event_day", YEAR + 1), F.col("known_to"))
    spans = days.select(
        "user_id", what, wanted.place(F.col("since")).alias("begin"), wanted.place(leaves).alias("end"), *sums
    )
    spans = spans.where("begin < end").repartition("user_id")
    of_user = ["user_id", what]
    if len(wanted) == 1:
        every = F.lit(wanted.all[0]).alias("as_of")
        return spans.groupBy(*of_user).agg(*[F.sum(name).alias(name) for name in sums]).select(every, *of_user, *sums)
    ends = F.struct(F.col("end").alias("place"), *[(-F.col(name)).alias(name) for name in sums])
    both = F.array(F.struct(F.col("begin").alias("place"), *sums), ends)
    changes = spans.select(*of_user, F.inline(both)).where(F.col("place") < len(wanted))
    at_once = changes.groupBy(*of_user, "place").agg(*[F.sum(name).alias(name) for name in sums])
    in_order = Window.partitionBy(*of_user).orderBy("place")
    so_far = in_order.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    told = at_once.select(
        *of_user,
        "place",
        F.lead("place").over(in_order).alias("next"),
        *[F.sum(name).over(so_far).alias(name) for name in sums],
    )
    return wanted.spread(told.where("signs > 0"), F.col("place"), F.col("next")).select("as_of", *of_user, *sums)


_PLACES = ("view_position", "placed_views", "bought_position", "placed_lines")


def _places() -> list[Column]:
    """Sums and numbers of price positions of views and of bought lines, in the order of `_PLACES`."""
    placed = F.col("position").isNotNull()
    made = []
    for which in (~F.col("bought"), F.col("bought")):
        made += [F.sum(F.when(which, F.col("position"))), F.sum((placed & which).cast("bigint"))]
    return [column.alias(name) for column, name in zip(made, _PLACES, strict=True)]


def user_category_days(*, clicks: DataFrame, order_lines: DataFrame, products: DataFrame) -> DataFrame:
    """The table `user_category_days`; of products in the price list of a month the place among its prices is summed."""
    seen = signs(clicks, order_lines)
    placed = with_position(seen, monthly_positions(products, seen.select(month_of("event_day")).distinct()))
    return USER_CATEGORY_DAYS.select(days_by("category", placed, products, *_places()))


def interests(as_ofs: Sequence[date], category_days: DataFrame) -> DataFrame:
    """How many things each user looked at and bought, how widely spread, and how dear.

    Args:
        as_ofs: As of which days.
        category_days: The table `user_category_days`.

    Returns:
        as_of, user_id, signs_364d, categories_364d (bigint), top_category_share, viewed_price_position_364d,
        bought_price_position_364d (double?); users with a sign only.
    """

    def position(total: str, number: str) -> Column:
        return F.try_divide(F.sum(total), F.sum(number)) / F.lit(POSITION_UNIT)

    return (
        signs_by("category", as_ofs, category_days)
        .groupBy("as_of", "user_id")
        .agg(
            F.sum("signs").alias("signs_364d"),
            F.count("category").alias("categories_364d"),
            (F.max("signs") / F.sum("signs")).alias("top_category_share"),
            position("view_position", "placed_views").alias("viewed_price_position_364d"),
            position("bought_position", "placed_lines").alias("bought_price_position_364d"),
        )
    )
