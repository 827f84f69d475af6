"""What the report is made of: small sums of the tables of one run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from offerlake.evaluate.checks import Check
from offerlake.evaluate.picks import Picks

_EXAMPLES = 5
MOST_CHANGES = 25
"""Changes of columns that are told of, the newest."""


@dataclass(frozen=True)
class Number:
    """A metric with its 95 % interval; None: not defined on this data."""

    value: float | None
    low: float | None = None
    high: float | None = None


NOTHING = Number(None)


@dataclass(frozen=True)
class Feed:
    """What became of a feed's records; received = taken + duplicates + rejected, unless `lost` says otherwise."""

    name: str
    received: int
    taken: int
    duplicates: int
    rejected: int

    @property
    def lost(self) -> int:
        """Records that are in none of the three: 0 in a sound run."""
        return self.received - self.taken - self.duplicates - self.rejected


@dataclass(frozen=True)
class Rejection:
    """Records of a feed refused for one reason (the first of each record)."""

    feed: str
    code: str
    records: int


@dataclass(frozen=True)
class ColumnChange:
    """A column that came, or came as another type, after its feed's first load; `before`: its types until then."""

    feed: str
    column: str
    type: str
    before: tuple[str, ...]
    since: date


@dataclass(frozen=True)
class Group:
    """Users of one arm who got the same offer on the same channel."""

    arm: str
    offer_id: str | None
    kind: str
    depth: float | None
    channel: str | None
    users: int
    cost: float
    value: float


@dataclass(frozen=True)
class Promise:
    """What the models say of one offer, over the users who may get it."""

    offer_id: str
    users: int
    p_redeem: float
    cost: float
    uplift: float | None
    value: float | None
    worthwhile: float | None
    """Share of these users for whom it is expected to bring more than it costs, 0 to 1."""


@dataclass(frozen=True)
class Example:
    """One row of user_offers."""

    user_id: str
    arm: str
    offer_id: str
    kind: str
    depth: float | None
    products: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Segment:
    """One row of segment_profiles: means of its users."""

    name: str
    users: int
    share: float
    orders: float
    money: float
    clv: float | None


@dataclass(frozen=True)
class Stage:
    """How many users are at a stage of their life as customers (`lifecycle_stage`), and their share of all."""

    name: str
    users: int
    share: float


@dataclass(frozen=True)
class JobRun:
    """The last finished attempt of one job."""

    job: str
    seconds: float
    rows: int | None


@dataclass(frozen=True)
class Facts:
    """All that the report shows.

    Attributes:
        run_id: The run.
        as_of: Its day.
        source: Where the data came from.
        code_version: Of the code that ran.
        metrics: (name, slice) to number, of this run.
        feeds: What came in.
        rejections: Why records were refused.
        checks: What was expected of the tables, and how it stands; what is not met first.
        columns: Columns of the feeds that came or changed, the newest first.
        groups: Who got what.
        silent: First reason code to users of the model's arm without an offer.
        promises: What the models say of each offer.
        examples: A few users with an offer.
        picks: The products recommended; None: the run has none.
        stages: Stages of customers, in their order.
        segments: Kinds of customers, the largest first.
        models: Name to the version in use.
        jobs: How long each took, in the order in which they finished.
    """

    run_id: str
    as_of: date
    source: str
    code_version: str
    metrics: dict[tuple[str, str], Number] = field(default_factory=dict)
    feeds: tuple[Feed, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    checks: tuple[Check, ...] = ()
    columns: tuple[ColumnChange, ...] = ()
    groups: tuple[Group, ...] = ()
    silent: dict[str, int] = field(default_factory=dict)
    promises: tuple[Promise, ...] = ()
    examples: tuple[Example, ...] = ()
    picks: Picks | None = None
    stages: tuple[Stage, ...] = ()
    segments: tuple[Segment, ...] = ()
    models: dict[str, str] = field(default_factory=dict)
    jobs: tuple[JobRun, ...] = ()

    def metric(self, name: str, part: str = "all") -> Number:
        """A metric; `NOTHING` where the run has none of that name."""
        return self.metrics.get((name, part), NOTHING)

    @property
    def has_control(self) -> bool:
        """True where the scores know what users do without an offer."""
        return any(promise.value is not None for promise in self.promises)


def metrics(table: DataFrame) -> dict[tuple[str, str], Number]:
    """The rows of `metrics` of one run."""
    rows = table.select("name", "slice", "value", "low", "high").collect()
    return {(row["name"], row["slice"]): Number(row["value"], row["low"], row["high"]) for row in rows}


def feeds(
    known: dict[tuple[str, str], Number], quarantine: DataFrame, names: Iterable[str]
) -> tuple[tuple[Feed, ...], tuple[Rejection, ...]]:
    """Counts records from the landing files to silver, over all loads.

    Args:
        known: The run's metrics: `ingest.<feed>.rows`, where it ingested, and `clean.<feed>.rows_in`, `rows_out`,
            `duplicates`, `quarantined`.
        quarantine: The table `quarantine`.
        names: The feeds.
    """
    code = F.split_part(F.try_element_at("reasons", F.lit(1)), F.lit(":"), F.lit(1))
    refused = quarantine.groupBy("feed", "job", F.coalesce(code, F.lit("")).alias("code")).agg(
        F.count("record_id").alias("records")
    )
    rows = refused.orderBy("feed", F.desc("records"), "code").collect()
    unread = {name: sum(r["records"] for r in rows if r["feed"] == name and r["job"] == "ingest") for name in names}

    def number(name: str, what: str) -> int:
        return int(known.get((f"clean.{name}.{what}", "all"), NOTHING).value or 0)

    def landed(name: str) -> int:
        rows = known.get((f"ingest.{name}.rows", "all"), NOTHING).value
        return number(name, "rows_in") if rows is None else int(rows)

    counted = tuple(
        Feed(
            name=name,
            received=landed(name) + unread[name],
            taken=number(name, "rows_out"),
            duplicates=number(name, "duplicates"),
            rejected=number(name, "quarantined") + unread[name],
        )
        for name in unread
    )
    return counted, tuple(Rejection(row["feed"], row["code"], row["records"]) for row in rows)


def columns(source_columns: DataFrame) -> tuple[ColumnChange, ...]:
    """What changed in the columns of the feeds, the newest first; a table of `MOST_CHANGES` rows at most.

    Args:
        source_columns: The table; what was there at a feed's first load is no change.
    """
    earlier = Window.partitionBy("feed", "column").orderBy("first_seen").rangeBetween(Window.unboundedPreceding, -1)
    seconds = source_columns.withColumn("first_seen", F.unix_micros("first_seen"))
    rows = (
        seconds.withColumns(
            {
                "before": F.array_sort(F.collect_set("type").over(earlier)),
                "first": F.min("first_seen").over(Window.partitionBy("feed")),
            }
        )
        .where("first_seen > first")
        .orderBy(F.desc("first_seen"), "feed", "column", "type")
        .select("feed", "column", "type", "before", F.to_date(F.timestamp_micros("first_seen")))
        .limit(MOST_CHANGES)
        .collect()
    )
    return tuple(ColumnChange(feed, column, kind, tuple(before), since) for feed, column, kind, before, since in rows)


def groups(user_offers: DataFrame) -> tuple[Group, ...]:
    """Users, cost and value by arm, offer and channel; as many rows as there are such combinations."""
    key = ("arm", "offer_id", "kind", "depth", "channel")
    rows = (
        user_offers.groupBy(*key)
        .agg(
            F.count("user_id").alias("users"),
            F.sum("expected_cost").alias("cost"),
            F.sum("expected_value").alias("value"),
        )
        .orderBy(F.desc("users"), *key)
        .collect()
    )
    return tuple(Group(*row) for row in rows)


def silent(user_offers: DataFrame) -> dict[str, int]:
    """Why users of the model's arm got nothing: first reason code to users."""
    code = F.split_part(F.try_element_at("reasons", F.lit(1)), F.lit("="), F.lit(1))
    rows = (
        user_offers.where((F.col("arm") == "model") & F.col("offer_id").isNull())
        .groupBy(F.coalesce(code, F.lit("")).alias("code"))
        .agg(F.count("user_id").alias("users"))
        .orderBy(F.desc("users"), "code")
        .collect()
    )
    return {row["code"]: row["users"] for row in rows}


def promises(offer_scores: DataFrame) -> tuple[Promise, ...]:
    """Means of the scores by offer, over users who may get it; one row an offer."""
    rows = (
        offer_scores.groupBy("offer_id")
        .agg(
            F.count("user_id").alias("users"),
            F.mean("p_redeem").alias("p_redeem"),
            F.mean("expected_cost").alias("cost"),
            F.mean("uplift").alias("uplift"),
            F.mean("expected_margin").alias("value"),
            F.mean((F.col("expected_margin") > 0).cast("double")).alias("worthwhile"),
        )
        .orderBy(F.desc_nulls_last("value"), F.desc("p_redeem"), "offer_id")
        .collect()
    )
    return tuple(Promise(*row) for row in rows)


def examples(user_offers: DataFrame) -> tuple[Example, ...]:
    """The users with the highest expected value, one an offer."""
    best = (
        user_offers.where((F.col("arm") == "model") & F.col("offer_id").isNotNull())
        .groupBy("offer_id")
        .agg(
            F.max_by(
                F.struct("user_id", "kind", "depth", "product_ids", "reasons"), F.struct("expected_value", "user_id")
            ).alias("row"),
            F.max("expected_value").alias("value"),
        )
        .orderBy(F.desc("value"), "offer_id")
        .limit(_EXAMPLES)
        .collect()
    )
    return tuple(
        Example(
            user_id=row["row"]["user_id"],
            arm="model",
            offer_id=row["offer_id"],
            kind=row["row"]["kind"],
            depth=row["row"]["depth"],
            products=tuple(row["row"]["product_ids"]),
            reasons=tuple(row["row"]["reasons"]),
        )
        for row in best
    )


def jobs(runs: DataFrame) -> tuple[JobRun, ...]:
    """How long the jobs of one run took."""
    rows = (
        runs.where((F.col("event") == "finish") & F.col("seconds").isNotNull() & (F.col("job") != "pipeline"))
        .groupBy("job")
        .agg(F.max_by(F.struct("seconds", "rows_out"), "attempt").alias("last"), F.max("time").alias("time"))
        .orderBy("time", "job")
        .collect()
    )
    return tuple(JobRun(row["job"], row["last"]["seconds"], row["last"]["rows_out"]) for row in rows)


def models(table: DataFrame) -> dict[str, str]:
    """Name to version of the live models."""
    rows = (
        table.where(F.col("status") == "live")
        .groupBy("name")
        .agg(F.max_by("version", F.struct("time", "version")).alias("version"))
        .orderBy("name")
        .collect()
    )
    return {row["name"]: row["version"] for row in rows}
