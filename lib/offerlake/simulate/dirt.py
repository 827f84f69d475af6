"""Dirt in known amounts: copies of records, whole or spoilt, and records that arrive late.

The clean records are never changed, but for the arrival of late ones: whoever refuses the spoilt copies and drops the
double ones has the clean log again. A spoilt copy has the key of its model with the kind of dirt behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.randomness import uniform

CLEAN, LATE, DUPLICATE, MALFORMED = "clean", "late", "duplicate", "malformed"


@dataclass(frozen=True)
class Dirt:
    """One kind of dirt in one feed.

    Attributes:
        kind: Its name in the truth: duplicate, malformed (a line that cannot be parsed), bad_number, bad_time,
            unknown_product, unknown_user, unknown_offer, clock_skew.
        rate: As a share of the feed's clean records.
        change: Column to what the copy has there.
        where: Which records may be copied; None: all.
    """

    kind: str
    rate: float
    change: Mapping[str, Column] = field(default_factory=dict)
    where: Column | None = None


def soil(
    frame: DataFrame, *, feed: str, key: Sequence[str], seed: int, kinds: Sequence[Dirt], late: Column | None = None
) -> DataFrame:
    """Adds the copies.

    Args:
        frame: Clean records: raw columns, and whatever says when they arrive.
        feed: Its name, so that draws differ from feed to feed.
        key: Columns that name a record; the first is the one that a spoilt copy changes.
        seed: Of the shop.
        kinds: What to add.
        late: Where a clean record arrives late (the frame's arrival already is); counted as the kind `late`.

    Returns:
        The frame with `dirt` (clean, late or a kind) and `record` (the key's columns joined by |).
    """
    own = [F.col(name) for name in key]
    copies = []
    for dirt in kinds:
        drawn = uniform(seed, f"dirt:{feed}:{dirt.kind}", *own) < dirt.rate
        copies.append(F.when(drawn if dirt.where is None else drawn & dirt.where, F.lit(dirt.kind)))
    first = F.lit(CLEAN) if late is None else F.when(late, F.lit(LATE)).otherwise(F.lit(CLEAN))
    marked = frame.withColumn("dirt", F.explode(F.array_compact(F.array(first, *copies))))
    changed: dict[str, Column] = {
        key[0]: F.when(F.col("dirt").isin(CLEAN, LATE, DUPLICATE), F.col(key[0]))
        .otherwise(F.concat_ws("-", F.col(key[0]), F.col("dirt")))
    }  # fmt: skip
    for name in {name for dirt in kinds for name in dirt.change}:
        value = changed.get(name, F.col(name))
        for dirt in kinds:
            if name in dirt.change:
                value = F.when(F.col("dirt") == dirt.kind, dirt.change[name]).otherwise(value)
        changed[name] = value
    return marked.withColumns(changed).withColumn("record", F.concat_ws("|", *own))


def listed(frame: DataFrame, feed: str) -> DataFrame:
    """The truth about a soiled frame: feed, kind, record, count, one row for each record that is not clean."""
    return frame.where(F.col("dirt") != CLEAN).select(
        F.lit(feed).alias("feed"), F.col("dirt").alias("kind"), "record", F.lit(1).cast("bigint").alias("count")
    )


def json_lines(frame: DataFrame, columns: Sequence[str]) -> DataFrame:
    """Records as JSON text in `line`; the malformed ones are cut off in the middle."""
    line = F.to_json(F.struct(*columns))
    cut = F.substring(line, F.lit(1), F.floor(F.length(line) * F.lit(0.6)).cast("int"))
    return frame.withColumn("line", F.when(F.col("dirt") == MALFORMED, cut).otherwise(line))


def csv_lines(frame: DataFrame, columns: Sequence[str]) -> DataFrame:
    """Records as CSV text in `line`; the malformed ones have two columns too many, or miss the last ones."""
    line = F.to_csv(F.struct(*columns), {"quoteAll": "false", "escape": '"', "emptyValue": ""})
    some = F.to_csv(F.struct(*columns[: max(1, len(columns) // 2)]))
    long = F.pmod(F.xxhash64("record"), F.lit(2)) == 0
    spoilt = F.when(long, F.concat(line, F.lit(",spilled,over"))).otherwise(some)
    return frame.withColumn("line", F.when(F.col("dirt") == MALFORMED, spoilt).otherwise(line))
