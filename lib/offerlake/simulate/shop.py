"""Makes the test shop: its feeds in a landing folder, and the truth about its users in a folder of its own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake import files
from offerlake.config import Settings, check_truth
from offerlake.errors import DataError
from offerlake.parallel import both, side_by_side
from offerlake.simulate import bots as robots
from offerlake.simulate import offers as arms_of
from offerlake.simulate.baskets import basket_moments, price_tables
from offerlake.simulate.calendar import Calendar
from offerlake.simulate.catalogue import CATEGORIES, catalogue, per_category
from offerlake.simulate.clicks import RAW, browsing, purchases, visits
from offerlake.simulate.dirt import listed
from offerlake.simulate.feeds import Feeds
from offerlake.simulate.landing import USERS_PER_FILE, Landing
from offerlake.simulate.orders import Draws, campaign, order_lines, orders, windows
from offerlake.simulate.structure import outcomes
from offerlake.simulate.traits import liking, taste, traits, users_feed

FEEDS = ("clicks", "orders", "products", "users", "offers", "exposures", "redemptions")
_MARKER = ".shop.json"
_ROWS_PER_TASK = 5_000


@dataclass(frozen=True)
class Summary:
    """What was made.

    Attributes:
        users: People; accounts of bots come on top.
        rows: Feed to its records, dirt included, headers not.
        dirt: `feed.kind` to the number of records that are not clean.
        end: The day after the log's last one, such as 2025-09-04.
    """

    users: int
    rows: dict[str, int]
    dirt: dict[str, int]
    end: str


def check_shop(settings: Settings, *, landing: str, truth: str) -> Calendar:
    """Finds what would stop `simulate_shop`, before Spark starts; returns the shop's calendar.

    Raises:
        ConfigError: Settings do not fit together, or the truth lies in the lake or among the feeds.
    """
    check_truth(truth, lake=settings.run.lake, landing=landing)
    return Calendar.of(settings.simulate)


def simulate_shop(spark: SparkSession, settings: Settings, *, landing: str, truth: str) -> Summary:
    """Makes the shop that `settings.simulate` describes; messages cost what `settings.decide.contact_cost` says.

    The truth's tables are Parquet: `traits`, `outcomes`, `dirt`, `bots` (docs/simulator.md). The same settings give the
    same files, whatever the partitioning; made again, they are replaced.

    Args:
        spark: The session.
        settings: All settings.
        landing: Folder or URI for the feeds.
        truth: Folder or URI for the truth; its own, outside the lake.

    Raises:
        ConfigError: As by `check_shop`.
        DataError: There are feeds in the landing folder that are not a test shop's.
    """
    own = settings.simulate
    made_at = check_shop(settings, landing=landing, truth=truth)
    landing, truth = landing.rstrip("/"), truth.rstrip("/")
    _claim(spark, landing, own.model_dump_json())
    summary = _make(spark, settings, made_at, landing=landing, truth=truth)
    _mark(spark, landing, {"settings": json.loads(own.model_dump_json()), "summary": asdict(summary)})
    return summary


def _make(spark: SparkSession, settings: Settings, made_at: Calendar, *, landing: str, truth: str) -> Summary:
    own = settings.simulate
    start = datetime(own.start.year, own.start.month, own.start.day, tzinfo=UTC)
    place = Landing(landing, -(-own.users // USERS_PER_FILE))
    products = catalogue(spark, products=own.products, seed=own.seed, known=start)
    users = people(spark, settings, products, truth)
    arms = arms_of.arms(spark, settings.decide.contact_cost)
    visitors = robots.bots(spark, own)
    draws = Draws(own, made_at)

    def known() -> None:
        outcomes(users, arms, effects=own.effects).write.mode("overwrite").parquet(f"{truth}/outcomes")
        visitors.write.mode("overwrite").parquet(f"{truth}/bots")

    def kept() -> tuple[DataFrame, ...]:
        earlier = place.keep(windows(users, arms, draws), "windows")
        every = earlier.unionByName(place.keep(campaign(users, arms, earlier, draws), "campaign"))
        bought = place.keep(orders(every, users, arms, draws), "orders")
        return every, bought, place.keep(order_lines(bought, draws), "lines")

    (every, bought, lines), _ = both(kept, known)
    clicked = browsing(visits(users, own, made_at), own).select(*RAW).unionByName(purchases(lines, own).select(*RAW))

    feeds = Feeds(own, made_at)
    end = datetime.fromtimestamp(made_at.end_ms / 1000, tz=UTC)
    offers = arms_of.offer_feed(spark, start=start, end=end, categories=tuple(c.name for c in CATEGORIES))
    wanted = (
        feeds.clicks(clicked, robots.bot_clicks(visitors, own, made_at)),  # the longest first
        feeds.products(products),
        feeds.users(users_feed(users, seed=own.seed, start_ms=made_at.start_ms, end_ms=made_at.end_ms)),
        feeds.offers(offers),
        feeds.exposures(every, arms),
        feeds.orders(lines),
        feeds.redemptions(bought, lines),
    )
    written = {feed.name: made for feed, made in zip(wanted, side_by_side(place.write, wanted), strict=True)}
    found = _dirt({name: records for name, (records, _) in written.items()}, truth)
    summary = Summary(own.users, {name: rows for name, (_, rows) in written.items()}, found, made_at.end.isoformat())
    place.clear(users)
    return summary


def people(spark: SparkSession, settings: Settings, products: DataFrame, truth: str) -> DataFrame:
    """Writes the traits with the basket moments, and reads them back: everything after starts from stored numbers."""
    own = settings.simulate
    tables = price_tables(products, size=per_category(own.products))
    accounts = robots.account_count(own)
    moments = basket_moments(F.col("tastes"), F.col("price_level"), tables)
    frame = traits(spark, users=own.users, bots=accounts, seed=own.seed).withColumn("tastes", taste())
    frame = frame.withColumn("basket", moments).select(
        *[name for name in frame.columns if name != "tastes"], "basket.gross", "basket.margin", "basket.reach"
    )
    path = f"{truth}/traits"
    frame.write.mode("overwrite").parquet(path)
    tasks = max(spark.sparkContext.defaultParallelism, -(-own.users // _ROWS_PER_TASK))
    stored = spark.read.parquet(path).repartition(tasks, "number")
    return stored.withColumns({"taste": taste(), "liking": liking()})


def _dirt(records: dict[str, DataFrame], truth: str) -> dict[str, int]:
    """Writes the truth about what is not clean; returns `feed.kind` to its number."""
    every = reduce(DataFrame.unionByName, (listed(frame, feed) for feed, frame in records.items()))
    every.write.mode("overwrite").parquet(f"{truth}/dirt")
    counted = every.groupBy("feed", "kind").agg(F.sum("count").alias("count")).collect()
    return {f"{row['feed']}.{row['kind']}": int(row["count"]) for row in sorted(counted)}


def _claim(spark: SparkSession, landing: str, settings: str) -> None:
    """Makes sure that what lies in the landing folder is a test shop's, and marks it as one."""
    taken = [feed for feed in FEEDS if files.names(spark, f"{landing}/{feed}")]
    if taken and not files.exists(spark, f"{landing}/{_MARKER}"):
        raise DataError(
            f"{landing} holds {', '.join(taken)} that no test shop made", fix="Give an empty folder for the test shop."
        )
    _mark(spark, landing, {"settings": json.loads(settings), "summary": None})


def _mark(spark: SparkSession, landing: str, content: dict[str, object]) -> None:
    files.write_bytes(spark, f"{landing}/{_MARKER}", json.dumps(content, sort_keys=True).encode())
