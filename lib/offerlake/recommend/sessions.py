"""Products for visitors who are not logged in: what sessions like theirs went on to, by session k nearest neighbours.

Vector-multiplication session kNN (Ludewig and Jannach 2018, section 3.3) on an index of the newest sessions of each
product, as VMIS-kNN does it (Kersbergen, Sprangers and Schelter 2022, "Serenade", section 3). H are the past sessions,
as sets of products; h(i) is how many of them have product i. s is the present session: its last nine products, each
where it was last clicked, p(i) = 1 for the first and |s| for the last of them.

    N(i)            the m sessions of H with product i that ended last
    similarity(n) = Σ over products i of s with n in N(i) of p(i) / |s|
    λ(n)          = 1 − b / 10, b the place of the last of these products, from the end: 1 for the last of s
    score(j)      = Σ over the k most similar n with product j of similarity(n) · λ(n) · log(|H| / h(j))

VMIS-kNN keeps m sessions of all products of s together, here it is m of each. λ is Serenade's; it is 0 from the tenth
product on, so s ends there. s itself, where it is in H, is not its own neighbour.

All of it are joins and sorts, which Spark spills to disk: no task holds more than its sort buffer, and nothing of a
session or a product comes to the driver. A present session makes 9 · m rows at most when neighbours are sought, and the
products of k sessions when these are scored.
"""

from __future__ import annotations

from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from offerlake.config import SessionSettings
from offerlake.randomness import uniform
from offerlake.windows import in_window, known_before, midnight

_LAST = 9
_INTEREST = ("view", "add_to_cart", "purchase")


def known_clicks(clicks: DataFrame, *, as_of: date, days: int) -> DataFrame:
    """The clicks of `days` before `as_of`, as far as they had arrived."""
    arrived = known_before(F.lit(midnight(as_of)), happened=F.col("event_time"), arrived=F.col("arrived_at"))
    return clicks.where(in_window(F.col("event_date"), end=F.lit(as_of), days=days) & arrived)


def strangers(clicks: DataFrame, *, since: date) -> DataFrame:
    """The sessions of nobody known that ended on `since` or later: session_id, anonymous_id.

    Args:
        clicks: What `known_clicks` gives.
        since: The day.
    """
    return (
        clicks.groupBy("session_id")
        .agg(
            F.max("user_id").alias("_user"),
            F.min("anonymous_id").alias("anonymous_id"),
            F.max("event_date").alias("_day"),
        )
        .where(F.col("_user").isNull() & (F.col("_day") >= F.lit(since)))
        .select("session_id", "anonymous_id")
    )


def visits(clicks: DataFrame) -> DataFrame:
    """The products that sessions have seen, put into the cart or bought; those that are in `products` only.

    Args:
        clicks: What `known_clicks` gives.

    Returns:
        session_id, product_id, last_time (of the product in the session), ended (of all products in it).
    """
    interest = F.col("event_type").isin(*_INTEREST) & F.col("product_id").isNotNull() & F.col("known_product")
    return (
        clicks.where(interest)
        .repartition("session_id")  # one shuffle for both
        .groupBy("session_id", "product_id")
        .agg(F.max("event_time").alias("last_time"))
        .withColumn("ended", F.max("last_time").over(Window.partitionBy("session_id")))
    )


def present(visits: DataFrame) -> DataFrame:
    """The last products of sessions; of two clicked at the same moment that with the smaller id counts as the later.

    Args:
        visits: What `visits` gives, of the sessions.

    Returns:
        session_id, product_id, back (place from the end, from 1), length (of the session: nine at most).
    """
    return (
        visits.withColumn("back", _from_the_end())
        .where(F.col("back") <= _LAST)
        .withColumn("length", F.max("back").over(Window.partitionBy("session_id")))
        .select("session_id", "product_id", "back", "length")
    )


def held_out(visits: DataFrame, *, since: date, most: int, seed: int) -> tuple[DataFrame, DataFrame]:
    """What sessions would be judged by: their last product, and what they had before it.

    Args:
        visits: What `visits` gives.
        since: Sessions that ended on this day or later, with at least two products.
        most: Sessions at most, drawn at random.
        seed: Of the draw.

    Returns:
        The visits of these sessions without the last product, and session_id, product_id: the last product.
    """
    recent = visits.where(F.col("ended") >= F.lit(midnight(since))).withColumn("back", _from_the_end())
    drawn = (
        recent.withColumn("products", F.max("back").over(Window.partitionBy("session_id")))
        .where((F.col("back") == 1) & (F.col("products") > 1))
        .orderBy(uniform(seed, "sessions judged", F.col("session_id")), "session_id")
        .limit(most)
        .select("session_id", "product_id")
    )
    before = recent.where(F.col("back") > 1).drop("back").join(drawn.select("session_id"), on="session_id", how="inner")
    return before, drawn


def counted(history: DataFrame, shown: DataFrame) -> DataFrame:
    """How many of the past sessions have each product that is shown.

    Args:
        history: What `visits` gives of the past sessions.
        shown: product_id: others are left out.

    Returns:
        product_id, has (sessions with it), sessions (all of them).
    """
    total = history.agg(F.count_distinct("session_id").alias("sessions"))
    has = history.groupBy("product_id").agg(F.count("session_id").alias("has"))
    return has.join(shown.select("product_id"), on="product_id", how="left_semi").crossJoin(F.broadcast(total))


def popular(counts: DataFrame, *, n: int) -> DataFrame:
    """What most sessions have, for anybody: n products, and as many more as a session may have itself.

    Args:
        counts: What `counted` gives.
        n: How many.

    Returns:
        product_id, score (double: share of the sessions).
    """
    share = counts.select("product_id", (F.col("has") / F.col("sessions")).alias("score"))
    return share.orderBy(F.desc("score"), "product_id").limit(n + _LAST)


def by_neighbours(now: DataFrame, history: DataFrame, counts: DataFrame, *, settings: SessionSettings) -> DataFrame:
    """The scores of the module's formula, above 0.

    Args:
        now: What `present` gives.
        history: What `visits` gives of the past sessions.
        counts: What `counted` gives of them: other products are left out.
        settings: m is `newest`, k is `neighbours`; of sessions equally similar the later ended, then the smaller id.

    Returns:
        session_id, product_id, score (double).
    """
    past = history.select(F.col("session_id").alias("neighbour"), "product_id", "ended")
    newest = Window.partitionBy("product_id").orderBy(F.desc("ended"), "neighbour")
    index = past.withColumn("place", F.row_number().over(newest)).where(F.col("place") <= settings.newest).drop("place")
    most_similar = Window.partitionBy("session_id").orderBy(F.desc("points"), F.desc("ended"), "neighbour")
    neighbours = (
        now.join(index, on="product_id", how="inner")
        .where(F.col("session_id") != F.col("neighbour"))
        .groupBy("session_id", "length", "neighbour", "ended")
        .agg(F.sum(F.col("length") + 1 - F.col("back")).alias("points"), F.min("back").alias("back"))
        .withColumn("place", F.row_number().over(most_similar))
        .where(F.col("place") <= settings.neighbours)
    )
    # Whole numbers until the end: the same sums in whatever order, so that ties are ties.
    votes = (
        neighbours.join(past.drop("ended"), on="neighbour", how="inner")
        .groupBy("session_id", "length", "product_id")
        .agg(F.sum(F.col("points") * (10 - F.col("back"))).alias("votes"))
    )
    idf = F.log(F.col("sessions") / F.col("has"))
    return (
        votes.join(counts, on="product_id", how="inner")
        .select("session_id", "product_id", (F.col("votes") / (10 * F.col("length")) * idf).alias("score"))
        .where(F.col("score") > 0)
    )


def best(sessions: DataFrame, now: DataFrame, scored: DataFrame, popular: DataFrame, *, n: int) -> DataFrame:
    """The best n products of each session that it does not have itself, ties to the smaller id.

    Args:
        sessions: session_id.
        now: What `present` gives: what the sessions have themselves.
        scored: What `by_neighbours` gives.
        popular: What `popular` gives: for sessions of which `scored` has nothing more.
        n: How many.

    Returns:
        session_id, product_id, score, source (`session` or `popular`, one of them in a session), rank (from 1).
    """
    both = scored.withColumn("source", F.lit("session")).unionByName(
        sessions.select("session_id").crossJoin(F.broadcast(popular)).withColumn("source", F.lit("popular"))
    )
    own = now.select("session_id", "product_id")
    order = Window.partitionBy("session_id").orderBy(
        (F.col("source") == "popular").cast("int"), F.desc("score"), "product_id"
    )
    return (
        both.join(own, on=["session_id", "product_id"], how="left_anti")
        .withColumns({"rank": F.row_number().over(order), "first": F.first("source").over(order)})
        .where((F.col("rank") <= n) & (F.col("source") == F.col("first")))
        .select("session_id", "product_id", "score", "source", "rank")
    )


def listed(sessions: DataFrame, ranked: DataFrame) -> DataFrame:
    """One row for each of `sessions`, with `items`: array of product_id, score, source, best first; it may be empty."""
    items = F.sort_array(F.collect_list(F.struct("rank", F.struct("product_id", "score", "source").alias("item"))))
    lists = ranked.groupBy("session_id").agg(F.transform(items, lambda x: x["item"]).alias("items"))
    return sessions.join(lists, on="session_id", how="left").withColumn("items", F.coalesce("items", F.array()))


def _from_the_end() -> Column:
    return F.row_number().over(Window.partitionBy("session_id").orderBy(F.desc("last_time"), "product_id"))
