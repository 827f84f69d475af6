"""Raw records as `ingest` leaves them: tables of bronze, Parquet of strings, with copies and known dirt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from _silver import AS_OF, HISTORY_DAYS
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.randomness import uniform
from offerlake.schemas import table
from offerlake.schemas.bronze import FEEDS
from offerlake.schemas.silver import OFFER_KINDS

PRODUCTS, OFFERS = 20_000, 2 * len(OFFER_KINDS)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000  # milliseconds
SPAN = HISTORY_DAYS * DAY
UNKNOWN = 0.005
"""Share of records with a product or an offer that is in no catalogue."""
_A_FILE = 1_000_000  # records
_SEED = 1
_TIMES = (
    "arrived_at", "event_time", "order_time", "redeemed_at", "shown_at", "signup_time", "valid_from", "valid_to",
)  # fmt: skip
# Shares of records.
_AGAIN, _CHANGED, _BROKEN, _LATE, _SKEWED, _BLANK = 0.01, 0.001, 0.0025, 0.01, 0.0005, 0.0001


@dataclass(frozen=True)
class Dirt:
    """What is wrong with some records of a feed.

    Attributes:
        changed: Column to what a record says that comes again with other content.
        broken: Column to a text that cannot be read.
        blank: A column that some records lack; empty: none.
    """

    changed: Mapping[str, Column] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    blank: str = ""


def unit(purpose: str, *key: Column) -> Column:
    """A number in [0, 1)."""
    return uniform(_SEED, purpose, *key)


def draw(purpose: str, most: int, *key: Column) -> Column:
    """A number from 0 to most − 1."""
    return F.floor(unit(purpose, *key) * most)


def chance(purpose: str, share: float, *key: Column) -> Column:
    """Whether something holds that does so for a share of the keys."""
    return unit(purpose, *key) < share


def named(letter: str, number: Column) -> Column:
    """An id."""
    return F.concat(F.lit(letter), number.cast("string"))


def arrived(purpose: str, happened: Column) -> Column:
    """Within two minutes; of some two days later, and of few hours before they happened."""
    key = F.col("id")
    late = F.when(chance(f"late {purpose}", _LATE, key), 2 * DAY)
    skewed = late.when(chance(f"skewed {purpose}", _SKEWED, key), -5 * HOUR)
    return happened + skewed.otherwise(draw(f"way {purpose}", 2 * MINUTE, key))


def cents(product: Column) -> Column:
    """The price list's."""
    return draw("price", 5_000, product) + 100


def money(cents: Column) -> Column:
    """An amount as text."""
    return (cents / 100).cast("decimal(18,2)").cast("string")


def twice(frame: DataFrame, rows: int, flag: str, *, share: float) -> DataFrame:
    """Some rows again, with an id of their own, where the boolean `flag` is true."""
    both = F.array_compact(F.array(F.lit(False), F.when(chance(flag, share, F.col("id")), F.lit(True))))
    spread = frame.withColumn(flag, F.explode(both))
    return spread.withColumns({"of": F.col("id"), "id": F.col("id") + F.when(F.col(flag), rows).otherwise(0)})


def records(feed: str, frame: DataFrame, dirt: Dirt | None = None) -> DataFrame:
    """Adds copies and dirt, and where each record came from.

    Args:
        feed: The feed.
        frame: `id` (bigint, unique) and columns of the feed; times as milliseconds since the history began.
        dirt: What is wrong with some of them; None: nothing.
    """
    key = F.col("id")
    copies = [F.lit("own")]
    if dirt is not None:
        copies += [
            F.when(chance(f"again {feed}", _AGAIN, key), "again"),
            F.when(chance(f"changed {feed}", _CHANGED, key), "changed"),
        ]
    spread = frame.withColumn("copy", F.explode(F.array_compact(F.array(*copies))))
    number = F.array_position(F.lit(["own", "again", "changed"]), F.col("copy"))
    columns = {name: _said(feed, name, dirt or Dirt()) for name in frame.columns if name in FEEDS[feed]}
    nothing = {name: F.lit(None) for name in FEEDS[feed] if name not in columns}
    extra = F.create_map(F.lit("newsletter"), F.lit("yes")) if feed == "users" else F.create_map()
    return table(f"raw_{feed}").select(
        spread.select(
            *[column.alias(name) for name, column in (columns | nothing).items()],
            extra.cast("map<string,string>").alias("extra"),
            F.format_string(f"{feed}/%04d.parquet", F.floor(key / _A_FILE)).alias("source"),
            (key % _A_FILE * 3 + number).alias("source_position"),
            F.lit(datetime.combine(AS_OF + timedelta(days=4), time(), UTC)).alias("loaded_at"),
            F.lit(AS_OF + timedelta(days=4)).alias("loaded_date"),
        )
    )


def _said(feed: str, name: str, dirt: Dirt) -> Column:
    """A column as text, as it comes."""
    key, value = F.col("id"), F.col(name)
    if name == "arrived_at":  # the second time a record comes an hour later
        value = value + F.when(F.col("copy") == "again", HOUR).otherwise(0)
    text = _iso(value) if name in _TIMES else value.cast("string")
    if name in dirt.changed:
        text = F.when(F.col("copy") == "changed", dirt.changed[name]).otherwise(text)
    if name in dirt.broken:
        text = F.when(chance(f"broken {feed} {name}", _BROKEN, key), F.lit(dirt.broken[name])).otherwise(text)
    if name == dirt.blank:
        text = F.when(chance(f"blank {feed}", _BLANK, key), F.lit(" ")).otherwise(text)
    return text


def _iso(milliseconds: Column) -> Column:
    begin = datetime.combine(AS_OF - timedelta(days=HISTORY_DAYS), time(), UTC)
    moment = F.timestamp_millis(F.lit(int(begin.timestamp()) * 1000) + milliseconds.cast("bigint"))
    return F.date_format(moment, "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'")
