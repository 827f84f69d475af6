"""What becomes of each raw record: it is good, a duplicate, or refused with its reasons. Nothing else, and all counted.

`decided` is one frame with a row a raw record: the silver table's columns, `_status` (good, duplicate or refused),
`_reasons`, `_record` (the raw row as JSON where parsing refused it), `_read` and `_unread` (a bit for each column of
the feed, by its place there: what the record has in it could be read, or not), `_day` (the day of the event where the
record names one that can be, else of its load), `source`, `source_position`, `loaded_at`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import reduce

from pyspark import StorageLevel
from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

from offerlake.clean.parse import Cell, with_typed
from offerlake.errors import DataError
from offerlake.schemas import Table, table
from offerlake.schemas.bronze import FEEDS
from offerlake.windows import utc_day

GOOD, DUPLICATE, REFUSED = "good", "duplicate", "refused"
FLAGS = {"unknown_users": "_known_user", "unknown_products": "known_product"}
"""`Cleaned.flags` of feeds whose users and products may be unknown."""
_ORIGIN = ("source", "source_position", "loaded_at")
_MANY = 4_194_304  # keys that come more than once: fewer are broadcast, 16 bytes each
_PARTS = 128  # how many there are is told from a part of all keys


@dataclass(frozen=True)
class Cleaned:
    """The outcome of cleaning one feed.

    Attributes:
        feed: The feed.
        job: The job that cleans it.
        contract: Its silver table.
        decided: Every raw record, see above.
        flags: Columns of it that are true where an id is known, by the name under which the others are counted.
    """

    feed: str
    job: str
    contract: Table
    decided: DataFrame
    flags: Mapping[str, str]

    @property
    def good(self) -> DataFrame:
        """Rows of the silver table."""
        return self.contract.select(self.decided.where(F.col("_status") == GOOD))

    @property
    def quarantined(self) -> DataFrame:
        """Rows of `quarantine`."""
        key = F.concat_ws("\x1f", F.lit(self.feed), F.lit(self.job), "source", "source_position")
        record = F.coalesce("_record", F.to_json(F.struct(*self.contract.names)))
        refused = self.decided.where(F.col("_status") == REFUSED).select(
            F.lower(F.hex(F.xxhash64(key))).alias("record_id"),
            F.lit(self.feed).alias("feed"),
            F.lit(self.job).alias("job"),
            F.col("_reasons").alias("reasons"),
            record.alias("record"),
            "source",
            "source_position",
            "loaded_at",
            utc_day(F.col("loaded_at")).alias("loaded_date"),
            F.col("_day").alias("day"),
        )
        return table("quarantine").select(refused)

    def since(self, first: date) -> Cleaned:
        """Only the records of a day, and those after it."""
        return replace(self, decided=self.decided.where(F.col("_day") >= F.lit(first)))

    @contextmanager
    def held(self) -> Iterator[tuple[Cleaned, dict[str, int]]]:
        """Keeps what was decided, so that it is decided once: of what is not refused no more than its table takes.

        Gives what is kept, and the counts.

        Counts: rows_in, rows_out, duplicates, quarantined, `quarantined.<code>` by the code of the first reason, and
        good rows by flag.

        Raises:
            DataError: A column is missing in every record, or cannot be read in any that has it, half of all at least.
        """
        told = {name: F.when(F.col("_status") == REFUSED, F.col(name)) for name in ("_reasons", "_record", *_ORIGIN)}
        held = self.decided.withColumns(told).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            found = _tallied(held, self.flags)
            counts = _counts(found, self.flags)
            unreadable = _unreadable(found, self.feed)
            if unreadable or (counts["rows_in"] and not counts["rows_out"]):
                self._stop(held, counts["rows_in"], unreadable)
            yield replace(self, decided=held), counts
        finally:
            held.unpersist()

    def _stop(self, held: DataFrame, rows: int, unreadable: set[str]) -> None:
        """Stops where a column is wrong in every record that has it: that is the mapping's mistake, not the records'.

        Where fewer than half of the records have it, it may be theirs: they are refused, and the run goes on.
        """
        reasons = held.where(F.col("_status") == REFUSED).select(F.explode("_reasons").alias("reason"))
        code = F.split_part("reason", F.lit("="), F.lit(1)).alias("code")
        for row in reasons.groupBy(code).count().orderBy(F.desc("count"), "code").collect():
            reason, _, column = row["code"].partition(":")
            if row["count"] == rows and reason in ("unparsable", "missing"):
                wrong = f"none of its {rows} records can be used: {column} is {reason} in all of them"
            elif row["count"] == rows and row["code"] == "unknown:currency":
                wrong = f"none of its {rows} records can be used: their currency is not known"
                raise DataError(
                    f"feed {self.feed}: {wrong}", fix="Say which is ours by clean.currency, and clean.rates."
                )
            elif reason == "unparsable" and column in unreadable and 2 * row["count"] >= rows:
                part = f"{row['count']} of {rows}"
                wrong = f"none of its records with {column} can be used: it is {reason} in all of them, {part}"
            else:
                continue
            raise DataError(
                f"feed {self.feed}: {wrong}", fix="Look at the columns, time_format and values of its mapping."
            )


def _tallied(decided: DataFrame, flags: Mapping[str, str]) -> list[Row]:
    """Records by status and code of the first reason: how many, which columns could be read or not in any, by flag."""
    code = F.split_part(F.try_element_at("_reasons", F.lit(1)), F.lit(":"), F.lit(1))
    every = (F.count(F.lit(1)).alias("count"), F.bit_or("_read").alias("read"), F.bit_or("_unread").alias("unread"))
    lacking = [F.count_if(~F.col(flag)).alias(name) for name, flag in flags.items()]
    return decided.groupBy("_status", code.alias("code")).agg(*every, *lacking).collect()


def _unreadable(found: Sequence[Row], feed: str) -> set[str]:
    """Columns that some records have, and none that can be read."""
    read, unread = (reduce(int.__or__, (row[name] for row in found), 0) for name in ("read", "unread"))
    return {name for place, name in enumerate(FEEDS[feed]) if (unread & ~read) >> place & 1}


def _counts(found: Sequence[Row], flags: Mapping[str, str]) -> dict[str, int]:
    by_status = {
        status: sum(row["count"] for row in found if row["_status"] == status) for status in (GOOD, DUPLICATE, REFUSED)
    }
    return {
        "rows_in": sum(row["count"] for row in found),
        "rows_out": by_status[GOOD],
        "duplicates": by_status[DUPLICATE],
        "quarantined": by_status[REFUSED],
        **{f"quarantined.{row['code']}": row["count"] for row in sorted(found) if row["_status"] == REFUSED},
        **{name: sum(row[name] for row in found if row["_status"] == GOOD) for name in flags},
    }


def typed(raw: DataFrame, feed: str, cells: Sequence[Cell], checks: Sequence[Column] = ()) -> DataFrame:
    """Types a feed's columns, and says of each record whether it can be used. One pass: nothing is parsed twice.

    Args:
        raw: The bronze table.
        feed: The feed.
        cells: The columns.
        checks: Reasons over several raw columns: a string, or null.

    Returns:
        A row a record: the cells' columns, the origin, `_status` (good or refused), `_reasons`, `_record`, `_read` and
        `_unread`.
    """
    problems = [*[cell.problem for cell in cells], *checks]
    # What a step says twice, as the problems and the record here, gets a method of its own: in one they would be too
    # long for Java to compile.
    told = F.array(*problems)
    refused = F.col("_wrong")
    reasons = F.when(refused, _told(F.col("_problems"))).otherwise(F.array().cast("array<string>"))
    record = F.when(refused, F.to_json(F.struct(*FEEDS[feed], "extra")))
    read = {cell.name: cell.read for cell in cells if cell.read is not None}
    unread = {cell.name: cell.unread for cell in cells if cell.unread is not None}
    return (
        with_typed(raw, cells)
        .withColumns({"_problems": told, "_wrong": F.concat_ws("", told) != ""})
        .select(
            *[cell.value.alias(cell.name) for cell in cells],
            *_ORIGIN,
            F.when(F.octet_length(record) > 0, REFUSED).otherwise(GOOD).alias("_status"),
            reasons.alias("_reasons"),
            record.alias("_record"),
            _bits(feed, read).alias("_read"),
            _bits(feed, unread).alias("_unread"),
        )
    )


def _told(reasons: Column) -> Column:
    """An array of reasons without nulls. Spark interprets array_compact, and all that is in its plan's step."""
    return F.array_except(reasons, F.array(F.lit(None).cast("string")))


def day_of(happened: Column | None) -> Column:
    """The day with which a raw record is decided on: the event's, else that of the load.

    Nothing happens later than it is loaded, save for a clock that is a little wrong: of a record that says so, it is
    the load's. So what happened on a day was loaded on the day before it at the earliest.
    """
    loaded = utc_day(F.col("loaded_at"))
    if happened is None:
        return loaded
    day = utc_day(happened)
    return F.when(day <= F.date_add(loaded, 1), day).otherwise(loaded)


def _bits(feed: str, where: Mapping[str, Column]) -> Column:
    """A number with a bit for each column where its condition is true."""
    bits = (F.when(true, F.lit(1 << FEEDS[feed].index(name))).otherwise(F.lit(0)) for name, true in where.items())
    return reduce(Column.bitwiseOR, bits, F.lit(0))


def first_wins(
    raw: DataFrame, judged: Callable[[DataFrame], DataFrame], key: Sequence[Cell], *, large: bool
) -> DataFrame:
    """Decides between good records of one key, see `first_of`; one shuffle, by the key.

    Of a `large` feed only the records of keys that come more than once are shuffled; which these are takes a look at
    the keys alone, and where they are many, all records are.

    Args:
        raw: The bronze table.
        judged: What types its records and says which are good, a row a record.
        key: The cells of the key: what they are typed as is their value.
        large: Whether `raw` is.
    """
    names = [cell.name for cell in key]
    if not large:
        return first_of(judged(raw), names)
    # Keys that share the hash are shuffled for nothing, no more.
    hashed = F.xxhash64(*[cell.value for cell in key]).alias("_key")
    told = with_typed(raw, key).select(*raw.columns, hashed)
    often = told.groupBy("_key").agg(F.count(F.lit(1)).alias("_times")).where("_times > 1").select("_key")
    a_part = F.pmod("_key", F.lit(_PARTS)) == 0
    if often.where(a_part).limit(_MANY // _PARTS).count() == _MANY // _PARTS:
        return first_of(judged(raw), names)
    # Spark does not move a join below what types: so it is told to, or each record would be typed twice.
    alone, several = (
        judged(told.join(F.broadcast(often), on="_key", how=how).drop("_key")) for how in ("left_anti", "left_semi")
    )
    return alone.unionByName(first_of(several, names))


def first_of(frame: DataFrame, key: Sequence[str], *, arrived: bool = True) -> DataFrame:
    """Decides between good rows of one key: the first to arrive stays; the same again is a duplicate, other refused.

    The same means: in all columns but the arrival's. One shuffle, by the key.
    """
    content = _content(frame, but=key)
    by_key = Window.partitionBy(*key, _alone()).orderBy(*_order(arrived=arrived))
    is_same = content == F.first(content).over(by_key)
    return _decided(frame, F.row_number().over(by_key) == 1, is_same, ",".join(key))


def versions(frame: DataFrame, key: str) -> DataFrame:
    """Decides between the versions of one product, user or offer, in the order of their arrival.

    What says the same as the version before it is a duplicate. Of several at the very same time the first to land is
    the version, and what says something else is refused. One shuffle, by the key.
    """
    by_key = Window.partitionBy(key, _alone()).orderBy(*_order(arrived=True))
    so_far = by_key.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    before = by_key.rowsBetween(Window.unboundedPreceding, -1)
    opens = F.coalesce(F.lag("arrived_at").over(by_key) < F.col("arrived_at"), F.lit(True))
    told = frame.withColumns({"_content": _content(frame, but=(key,)), "_opens": opens})
    version = F.when(F.col("_opens"), F.col("_content"))
    other = F.when(F.col("_opens"), F.last(version, ignorenulls=True).over(before)).otherwise(
        F.last(version, ignorenulls=True).over(so_far)
    )
    is_same = F.coalesce(F.col("_content") == other, F.lit(False))
    return _decided(told, F.col("_opens") & ~is_same, is_same, f"{key},arrived_at").drop("_content", "_opens")


def _decided(frame: DataFrame, is_good: Column, is_same: Column, key: str) -> DataFrame:
    changed = F.array(F.lit(f"changed:{key}"))
    kept = [name for name in frame.columns if name not in ("_status", "_reasons")]
    was_good = F.col("_status") == GOOD
    status = F.when(F.col("_good"), GOOD).when(F.col("_same"), DUPLICATE).otherwise(REFUSED)
    return frame.withColumns({"_good": is_good, "_same": is_same}).select(
        *kept,
        F.when(was_good, status).otherwise(F.col("_status")).alias("_status"),
        F.when(was_good & ~F.col("_good") & ~F.col("_same"), changed).otherwise(F.col("_reasons")).alias("_reasons"),
    )


def refuse(frame: DataFrame, wrong: Column, *reasons: Column) -> DataFrame:
    """Refuses good rows where `wrong` is true, for those of the reasons that are not null."""
    told = _told(F.array(*reasons)) if len(reasons) > 1 else F.array(*reasons)
    hit = (F.col("_status") == GOOD) & F.coalesce(wrong, F.lit(False))
    return frame.withColumns(
        {
            "_reasons": F.when(hit, told).otherwise(F.col("_reasons")),
            "_status": F.when(hit, REFUSED).otherwise(F.col("_status")),
        }
    )


def expect(frame: DataFrame, reasons: Sequence[Column]) -> DataFrame:
    """Refuses good rows of which one of the reasons, each a string or null, is not null.

    Before `first_of` and `versions`: what is refused does not stand in the way of another record of its key.
    """
    if not reasons:
        return frame
    return refuse(frame, F.coalesce(*reasons).isNotNull(), *reasons)


def because(code: str, name: str, *, quote: int) -> Column:
    """A reason about a column, its value cut to `quote` characters."""
    return F.concat(F.lit(f"{code}:{name}='"), F.left(F.col(name), F.lit(quote)), F.lit("'"))


def refuse_unknown(frame: DataFrame, name: str, known: DataFrame, *, quote: int) -> DataFrame:
    """Refuses good rows whose id is not null and not in `known`, a frame that has a column of that name.

    The ids are broadcast: some millions at most.
    """
    marked = mark_known(frame, name, known, flag="_known")
    return refuse(marked, ~F.col("_known"), because("unknown", name, quote=quote)).drop("_known")


def mark_known(frame: DataFrame, name: str, known: DataFrame, *, flag: str) -> DataFrame:
    """Adds the column `flag`: the id is null or in `known`. The ids are broadcast, likewise."""
    ids = F.broadcast(known.select(F.col(name)).distinct().withColumn(flag, F.lit(True)))
    joined = frame.join(ids, on=name, how="left")
    return joined.withColumn(flag, F.col(name).isNull() | F.coalesce(flag, F.lit(False)))


def mark_products(frame: DataFrame, products: DataFrame, *, strict: bool, quote: int) -> DataFrame:
    """Adds `known_product`; `strict`: refuses good rows whose product is not known."""
    marked = mark_known(frame, "product_id", products, flag="known_product")
    if not strict:
        return marked
    return refuse(marked, ~F.col("known_product"), because("unknown", "product_id", quote=quote))


def apart(key: Column) -> Column:
    """A window's key in which a row that is not good stands alone."""
    return F.coalesce(_alone(), key)


def _alone() -> Column:
    """Null for good rows; a name of its own for each other one."""
    return F.when(F.col("_status") != GOOD, F.concat_ws("\x1f", F.lit("alone"), "source", "source_position"))


def settle(
    contract: Table,
    feed: str,
    job: str,
    decided: DataFrame,
    *,
    flags: Mapping[str, str] | None = None,
    happened: str | None = None,
) -> Cleaned:
    """Ends in the silver table's columns; what the feed does not have is null.

    Args:
        contract: The table.
        feed: The feed.
        job: The job that cleans it.
        decided: What was decided on its records.
        flags: See `Cleaned`.
        happened: Of a feed of events the column that says when; its day is the table's partition.
    """
    flags = flags or {}
    beside = [flag for flag in flags.values() if flag not in contract.names]
    if happened and contract.partition:
        decided = decided.withColumn(contract.partition, utc_day(F.col(happened)))
    columns = [
        (F.col(field.name) if field.name in decided.columns else F.lit(None)).cast(field.dataType).alias(field.name)
        for field in contract.struct
    ]
    day = day_of(F.col(happened) if happened else None).alias("_day")
    told = decided.select(*columns, *beside, "_status", "_reasons", "_record", "_read", "_unread", day, *_ORIGIN)
    return Cleaned(feed, job, contract, told, flags)


def _order(*, arrived: bool) -> list[Column]:
    """By arrival, if there is one, then as records landed; positions are numbers as text."""
    landed = [F.col("loaded_at"), F.col("source"), F.length("source_position"), F.col("source_position")]
    return [F.col("arrived_at"), *landed] if arrived else landed


def _content(frame: DataFrame, *, but: Sequence[str]) -> Column:
    """A hash of what a record says, its key, its arrival and its origin aside; a null is told from nothing."""
    parts: list[Column] = [F.lit(0)]
    for field in frame.schema:
        if field.name not in (*_ORIGIN, *but, "arrived_at") and not field.name.startswith("_"):
            # A map has no order of its own.
            is_map = field.dataType.typeName() == "map"
            parts += [F.array_sort(F.map_entries(field.name)) if is_map else F.col(field.name), F.isnull(field.name)]
    return F.xxhash64(*parts)
