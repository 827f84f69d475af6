"""The seven feeds in the shape the shop's systems would send them; conf/sources/shop.yaml maps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.config import SimulateSettings
from offerlake.randomness import uniform
from offerlake.simulate.calendar import DAY_MS, MINUTE_MS, Calendar, iso
from offerlake.simulate.catalogue import money, per_category, product_id
from offerlake.simulate.dirt import DUPLICATE, MALFORMED, Dirt, csv_lines, json_lines, soil
from offerlake.simulate.feed import (
    CLICK_COLUMNS,
    EXPOSURE_COLUMNS,
    OFFER_COLUMNS,
    ORDER_COLUMNS,
    PRODUCT_COLUMNS,
    REDEMPTION_COLUMNS,
    USER_COLUMNS,
    Feed,
)
from offerlake.simulate.orders import of_window

FILE_WINDOWS = 4
"""Windows whose records share a file: a file for each eight weeks."""


@dataclass(frozen=True)
class Feeds:
    """Makes the feeds of one shop."""

    settings: SimulateSettings
    calendar: Calendar

    @property
    def _periods(self) -> tuple[str, ...]:
        first = self.calendar.start.toordinal()
        days = (first + k * self.calendar.round_days * FILE_WINDOWS for k in range(self._last + 1))
        return (*(self.calendar.start.fromordinal(day).isoformat() for day in days), "late")

    @property
    def _last(self) -> int:
        """Number of the period in which the log ends."""
        return self.calendar.windows // FILE_WINDOWS

    def _period(self, late: Column) -> Column:
        passed = F.floor((F.col("arrived_ms") - self.calendar.start_ms) / (self.calendar.round_ms * FILE_WINDOWS))
        within = F.least(F.greatest(passed, F.lit(0)), F.lit(self._last))
        return F.when(late, self._last + 1).otherwise(within).cast("int")

    def _late(self, feed: str, *key: str, where: Column) -> Column:
        drawn = uniform(self.settings.seed, f"late:{feed}", *[F.col(name) for name in key])
        return (drawn < self.settings.late) & where

    def _delayed(self, feed: str, *key: str) -> Column:
        """Arrival 3 to 6 days after the event."""
        more = uniform(self.settings.seed, f"late time:{feed}", *[F.col(name) for name in key])
        return ((3 + 3 * more) * DAY_MS).cast("bigint")

    def clicks(self, people: DataFrame, bots: DataFrame) -> Feed:
        """Click events as JSON lines: people's, soiled, and bots'."""
        ours = self.settings
        frame = people.withColumn("is_late", self._late("clicks", "id", where=F.lit(True)))
        frame = frame.withColumn(
            "arrived_ms",
            F.when(F.col("is_late"), F.col("at_ms") + self._delayed("clicks", "id")).otherwise(F.col("arrived_ms")),
        )
        seen = F.col("product_id").isNotNull()
        parts = ours.malformed / 3
        kinds = (
            Dirt(DUPLICATE, ours.duplicates),
            Dirt(MALFORMED, parts),
            Dirt("bad_time", parts, {"ts": F.lit("yesterday")}),
            Dirt("bad_number", parts, {"price": F.lit("12,9x")}, seen),
            Dirt("unknown_product", ours.unknown / 2, {"product_id": F.lit("P-GONE")}, seen),
            Dirt("unknown_user", ours.unknown / 2, {"user": F.lit("U-GHOST")}, F.col("user").isNotNull()),
            Dirt("clock_skew", ours.clock_skew, {"ts": iso(F.col("arrived_ms") + 3 * 60 * MINUTE_MS)}),
        )
        made = _click_text(frame).withColumn("is_late", F.col("is_late"))
        soiled = soil(made, feed="clicks", key=("id",), seed=ours.seed, kinds=kinds, late=F.col("is_late"))
        still = _click_text(bots).withColumns({"is_late": F.lit(False), "dirt": F.lit("clean"), "record": F.col("id")})
        every = soiled.unionByName(still).withColumn("period", self._period(F.col("is_late")))
        return Feed("clicks", json_lines(every, CLICK_COLUMNS), "jsonl", CLICK_COLUMNS, self._periods)

    def orders(self, lines: DataFrame) -> Feed:
        """Order lines and returns as CSV; only orders of the warm-up come late, or again with an unknown product."""
        ours = self.settings
        early = F.col("window") < self.calendar.warmup
        late = self._late("orders", "order_id", "line_id", where=early)
        size = per_category(ours.products)
        frame = lines.withColumn("is_late", late).select(
            "order_id",
            F.col("line_id").alias("line"),
            "user_id",
            product_id(F.col("category"), F.col("rank"), size).alias("product_id"),
            iso(F.col("order_ms")).alias("ordered_at"),
            F.when(F.col("is_late"), F.col("order_ms") + self._delayed("orders", "order_id", "line_id"))
            .otherwise(F.col("arrived_ms"))
            .alias("arrived_ms"),
            F.col("quantity").cast("string").alias("quantity"),
            (F.col("unit_price_tenths") / 1000).cast("decimal(18,3)").cast("string").alias("unit_price"),
            money(F.col("discount_cents")).cast("string").alias("discount"),
            money(F.col("net_cents")).cast("string").alias("net_amount"),
            "offer_id",
            "is_late",
            early.alias("early"),
        )
        parts = ours.malformed / 3
        kinds = (
            Dirt(DUPLICATE, ours.duplicates),
            Dirt(MALFORMED, parts),
            Dirt("bad_time", parts, {"ordered_at": F.lit("31/31/2025")}),
            Dirt("bad_number", parts, {"net_amount": F.lit("n/a")}),
            Dirt("unknown_product", ours.unknown / 2, {"product_id": F.lit("P-GONE")}, F.col("early")),
            Dirt("unknown_user", ours.unknown / 2, {"user_id": F.lit("U-GHOST")}),
            Dirt("clock_skew", ours.clock_skew, {"ordered_at": iso(F.col("arrived_ms") + 3 * 60 * MINUTE_MS)}),
        )
        made = frame.withColumn("received_at", iso(F.col("arrived_ms")))
        soiled = soil(made, feed="orders", key=("order_id", "line"), seed=ours.seed, kinds=kinds, late=F.col("is_late"))
        every = soiled.withColumn("period", self._period(F.col("is_late")))
        return Feed("orders", csv_lines(every, ORDER_COLUMNS), "csv", ORDER_COLUMNS, self._periods)

    def exposures(self, frame: DataFrame, arms: DataFrame) -> Feed:
        """Exposures of the experiment's windows and the campaign's, as Parquet with times as text."""
        ours = self.settings
        campaign = F.col("window") == self.calendar.campaign
        sent = arms.select("arm", "offer_id", "channel")
        made = (
            frame.where(F.col("propensity").isNotNull())
            .join(F.broadcast(sent), "arm", how="inner")
            .select(
                of_window("E").alias("exposure_id"),
                "user_id",
                F.when(F.col("arm") > 0, F.col("offer_id")).alias("offer_id"),
                iso(F.col("window_ms")).alias("shown_at"),
                (F.col("window_ms") + MINUTE_MS).alias("arrived_ms"),
                "channel",
                F.when(F.col("arm") > 0, F.lit(1)).alias("position"),
                "propensity",
                F.when(campaign, "old_rule").otherwise("experiment").alias("policy"),
                F.floor(F.col("window") / FILE_WINDOWS).cast("int").alias("period"),
            )
        )
        kinds = (
            Dirt(DUPLICATE, ours.duplicates),
            Dirt("bad_time", ours.malformed, {"shown_at": F.lit("soon")}),
            Dirt("unknown_user", ours.unknown / 2, {"user_id": F.lit("U-GHOST")}),
            Dirt("unknown_offer", ours.unknown / 2, {"offer_id": F.lit("OFFER-GONE")}, F.col("offer_id").isNotNull()),
        )
        made = made.withColumn("received_at", iso(F.col("arrived_ms")))
        soiled = soil(made, feed="exposures", key=("exposure_id",), seed=ours.seed, kinds=kinds)
        return Feed("exposures", soiled, "parquet", EXPOSURE_COLUMNS, self._periods)

    def redemptions(self, made: DataFrame, lines: DataFrame) -> Feed:
        """Uses of offers, a minute after their orders, as CSV; the value is what was taken off the order's lines."""
        ours = self.settings
        # Returns have no discount of their own.
        value = lines.groupBy("order_id").agg(F.sum("discount_cents").alias("value_cents"))
        frame = (
            made.where("used")
            .withColumn("order_id", of_window("O"))
            .join(value, "order_id", how="inner")
            .select(
                F.concat(F.lit("R"), F.substring("order_id", 2, 30)).alias("redemption_id"),
                "user_id",
                "offer_id",
                iso(F.col("order_ms") + MINUTE_MS).alias("redeemed_at"),
                (F.col("order_ms") + 2 * MINUTE_MS).alias("arrived_ms"),
                iso(F.col("order_ms") + 2 * MINUTE_MS).alias("received_at"),
                "order_id",
                money(F.col("value_cents")).cast("string").alias("value"),
            )
        )
        parts = ours.malformed / 2
        kinds = (
            Dirt(DUPLICATE, ours.duplicates),
            Dirt(MALFORMED, parts),
            Dirt("bad_number", parts, {"value": F.lit("free")}),
            Dirt("unknown_offer", ours.unknown, {"offer_id": F.lit("OFFER-GONE")}),
        )
        soiled = soil(frame, feed="redemptions", key=("redemption_id",), seed=ours.seed, kinds=kinds)
        every = soiled.withColumn("period", self._period(F.lit(False)))
        return Feed("redemptions", csv_lines(every, REDEMPTION_COLUMNS), "csv", REDEMPTION_COLUMNS, self._periods)

    def products(self, frame: DataFrame) -> Feed:
        """The catalogue as CSV, with quotes and commas in the descriptions."""
        ours = self.settings
        made = frame.select(
            *[F.col(name).cast("string") for name in PRODUCT_COLUMNS[:-1]],
            F.col("updated_ms").alias("arrived_ms"),
            iso(F.col("updated_ms")).alias("updated_at"),
        )
        kinds = (
            Dirt(DUPLICATE, ours.duplicates),
            Dirt(MALFORMED, ours.malformed / 2),
            Dirt("bad_number", ours.malformed / 2, {"price": F.lit("ask us")}),
        )
        soiled = soil(made, feed="products", key=("sku",), seed=ours.seed, kinds=kinds)
        return self._once("products", csv_lines(soiled, PRODUCT_COLUMNS), "csv", PRODUCT_COLUMNS)

    def users(self, frame: DataFrame) -> Feed:
        """Versions of users as CSV; the later ones, in which a consent is withdrawn, in a file of their own."""
        ours = self.settings
        changed = F.col("updated_ms") > self.calendar.start_ms
        made = frame.select(
            "*",
            F.col("updated_ms").alias("arrived_ms"),
            iso(F.col("updated_ms")).alias("updated_at"),
            iso(F.col("signup_ms")).alias("signup_time"),
            changed.cast("int").alias("period"),
        )
        kinds = (
            Dirt(DUPLICATE, ours.duplicates),
            Dirt(MALFORMED, ours.malformed / 2),
            Dirt("bad_time", ours.malformed / 2, {"signup_time": F.lit("long ago")}),
        )
        soiled = soil(made, feed="users", key=("user_id", "updated_at"), seed=ours.seed, kinds=kinds)
        return Feed("users", csv_lines(soiled, USER_COLUMNS), "csv", USER_COLUMNS, ("users", "changes"))

    def offers(self, frame: DataFrame) -> Feed:
        """The offers as JSON lines; too few for dirt."""
        made = frame.withColumns({"arrived_ms": F.col("created_ms"), "created_at": iso(F.col("created_ms"))})
        still = made.withColumns({"dirt": F.lit("clean"), "record": F.col("offer_id")})
        return self._once("offers", json_lines(still, OFFER_COLUMNS), "jsonl", OFFER_COLUMNS)

    def _once(
        self, name: str, frame: DataFrame, form: Literal["csv", "jsonl"], columns: Sequence[str]
    ) -> Feed:  # fmt: skip
        return Feed(name, frame.withColumn("period", F.lit(0)), form, tuple(columns), (name,))


def _click_text(frame: DataFrame) -> DataFrame:
    return frame.withColumns(
        {
            "ts": iso(F.col("at_ms")),
            "received_at": iso(F.col("arrived_ms")),
            "price": F.col("price").cast("string"),
        }
    )
