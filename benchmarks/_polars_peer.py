"""The work of clean_featurize.py in Polars: raw records to logs, quarantine and features, Parquet to Parquet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
from _peer import EVENT_TYPES, EVENT_WORDS, OFFER_KINDS, SCOPES, Task, parse_task
from _polars_decide import Feed, is_in
from _polars_features import user_features, user_profiles
from _polars_parse import (
    SCALE,
    Cell,
    amount,
    arrival,
    because,
    boolean,
    choice,
    instant,
    money,
    number,
    said,
    text,
    typed,
    whole,
)
from _polars_windows import Silver

_MONEY = ("price", "unit_cost", "unit_price", "discount", "net_amount", "coupon_amount", "min_spend", "value",
          "cost_per_redemption")  # fmt: skip


def clean(task: Task, name: str, cells: list[Cell], checks: tuple[tuple[pl.Expr, str, None], ...] = ()) -> Feed:
    """A feed's typed records; those that cannot be used are refused."""
    good, refused = typed(task.raw(name), cells, checks, quote=task.settings.ingest.max_value_chars)
    return Feed(name, good, [refused])


def clean_products(task: Task) -> Feed:
    """Versions of products."""
    most = task.settings.clean.max_money
    cells = [
        text("product_id").required(), instant("arrived_at").required(), text("name"),
        text("category", default="unknown"), text("brand"), money("price", 0, most), money("unit_cost", 0, most),
        text("description"),
    ]  # fmt: skip
    feed = clean(task, "products", cells)
    feed.versions("product_id")
    return feed


def clean_users(task: Task) -> Feed:
    """Versions of users."""
    cells = [
        text("user_id").required(), instant("arrived_at").required(), instant("signup_time"), text("gender"),
        text("age_band"), text("region"), boolean("consent_marketing"), boolean("consent_profiling"),
        Cell("attributes", pl.col("extra")),
    ]  # fmt: skip
    feed = clean(task, "users", cells)
    feed.versions("user_id")
    return feed


def clean_offers(task: Task) -> Feed:
    """Versions of offers."""
    most = task.settings.clean.max_money
    depth = number("depth", 0, most)
    percent = pl.col("kind") == "percent_off"
    cells = [
        text("offer_id").required(), instant("arrived_at").required(), choice("kind", OFFER_KINDS),
        depth.refuse("range", percent & (pl.col("depth") > 1)), choice("scope", SCOPES), text("scope_values"),
        money("min_spend", 0, most), money("cost_per_redemption", 0, most), text("channels"),
        instant("valid_from").required(),
        instant("valid_to").required().refuse("range", pl.col("valid_to") <= pl.col("valid_from")),
        whole("max_redemptions", 0, 2**31 - 1),
    ]  # fmt: skip
    without = (pl.col("kind").is_in(["percent_off", "amount_off"]) & pl.col("depth").is_null(), "missing:depth", None)
    feed = clean(task, "offers", cells, (without,))
    feed.versions("offer_id")
    return feed


def clean_clicks(task: Task, products: pl.DataFrame, users: pl.DataFrame) -> Feed:
    """The click log: each event once, in sessions, without machines."""
    settings = task.settings.clean
    cells = [
        text("event_id").required(), text("user_id"), text("anonymous_id"), instant("event_time").required(),
        arrival("event_time", settings.clock_skew_minutes), choice("event_type", EVENT_TYPES, EVENT_WORDS),
        text("product_id"), text("offer_id"), text("query"), money("price", 0, settings.max_money),
        whole("quantity", 0, settings.max_quantity), text("channel"), text("device"), text("referrer"),
    ]  # fmt: skip
    nobody = (pl.all_horizontal(pl.col("user_id", "anonymous_id").is_null()), "missing:user_id and anonymous_id", None)
    feed = clean(task, "clicks", cells, (nobody,))
    feed.first_wins("event_id")
    sessions = _in_sessions(task, feed)
    machine = sessions.filter(pl.col("score") >= settings.bot_score).select("_session", "reasons")
    suspected = feed.good.join(machine, on="_session", how="left", maintain_order="left")
    feed.good = suspected
    feed.refuse(pl.col("reasons").is_not_null(), pl.col("reasons"))
    feed.good = (
        feed.good.drop("reasons")
        .with_columns(pl.col("_session").replace_strict(sessions["_session"], sessions["session_id"]))
        .rename({"_session": "session_id"})
        .with_columns(
            is_in("product_id", products["product_id"]).alias("known_product"),
            is_in("user_id", users["user_id"]).alias("_known_user"),
            pl.col("event_time").dt.date().alias("event_date"),
        )
    )
    return feed


def _in_sessions(task: Task, feed: Feed) -> pl.DataFrame:
    """Numbers the good events' sessions, and gives those their owners; returns the sessions with their scores."""
    gap = pl.duration(minutes=task.settings.clean.session_gap_minutes)
    visitor = pl.coalesce(pl.concat_str(pl.lit("b:"), "anonymous_id"), pl.concat_str(pl.lit("u:"), "user_id"))
    ordered = (
        feed.good.with_columns(visitor.cast(pl.Categorical).to_physical().alias("_visitor"))
        .sort("_visitor", "event_time", "event_id")
        .with_columns(pl.col("event_time").diff().over("_visitor").alias("_pause"))
        .with_columns((pl.col("_pause").is_null() | (pl.col("_pause") > gap)).alias("_opens"))
        .with_columns(pl.col("_opens").cast(pl.UInt32).cum_sum().alias("_session"))
    )
    pause = pl.when(~pl.col("_opens")).then(pl.col("_pause").dt.total_milliseconds()).cast(pl.Float64)
    sessions = ordered.group_by("_session", maintain_order=True).agg(
        pl.len().alias("events"),
        (pl.col("event_time").last() - pl.col("event_time").first()).dt.total_microseconds().alias("micros"),
        pause.count().alias("pauses"),
        pause.sum().alias("total"),
        (pause * pause).sum().alias("squares"),
        pl.col("device").str.to_lowercase().str.contains(task.agents).any().alias("marked"),
        pl.col("user_id").drop_nulls().first().alias("owner"),
        pl.struct("_visitor", pl.col("event_time"), "event_id").first().hash().alias("session_id"),
    )
    owner = pl.col("user_id").fill_null(sessions["owner"].gather(ordered["_session"] - 1))
    feed.good = ordered.with_columns(owner).drop("_visitor", "_pause", "_opens")
    return _suspected(task, sessions)


def _suspected(task: Task, sessions: pl.DataFrame) -> pl.DataFrame:
    """Adds the score of each session and the reasons: the signs that weigh."""
    settings = task.settings.clean
    rate = (pl.col("events") - 1) * 60_000_000 / pl.when(pl.col("micros") > 0).then("micros")
    hours = pl.col("micros") / 3.6e9
    variance = pl.col("pauses") * pl.col("squares") / pl.when(pl.col("total") > 0).then("total") ** 2 - 1
    spread = pl.when(pl.col("pauses") >= 2).then(pl.max_horizontal(variance, 0).sqrt())
    long_enough = pl.col("events") >= settings.bot_min_events

    def above(x: pl.Expr, limit: float) -> pl.Expr:
        return 1 - 2 ** -((x / limit) ** 4)

    signs = {
        "rate": (pl.when(long_enough).then(above(rate, settings.bot_events_per_minute).fill_null(1.0)), rate.round(1)),
        "pause_spread": (
            pl.when(long_enough).then((1 - above(spread, settings.bot_pause_spread)).fill_null(0.0)),
            spread.round(3),
        ),
        "no_pause": (pl.when(long_enough).then(above(hours, settings.bot_hours)), hours.round(1)),
        "agent": (pl.when("marked").then(1.0), pl.lit("known")),
    }
    human = pl.lit(1.0)
    for sign, _ in signs.values():
        human *= 1 - sign.fill_null(0.0)
    told = [pl.when(sign >= 0.1).then(pl.format(f"bot:{name}={{}}", value)) for name, (sign, value) in signs.items()]
    score = (1 - human).alias("score")
    reasons = pl.concat_list(pl.format("bot:score={}", (1 - human).round(3)), *told).list.drop_nulls()
    return sessions.select("_session", pl.col("session_id").cast(pl.String), score, reasons.alias("reasons"))


def clean_orders(task: Task, products: pl.DataFrame, users: pl.DataFrame) -> Feed:
    """Order lines and returns: each line once, money checked."""
    settings = task.settings.clean
    most, units = settings.max_money, settings.max_quantity
    price, net, discount = (
        amount(name, low, most) for name, low in (("unit_price", 0), ("net_amount", -most), ("discount", 0))
    )
    cells = [
        text("order_id").required(), text("line_id").required(), text("user_id").required(),
        text("product_id").required(), instant("order_time").required(),
        arrival("order_time", settings.clock_skew_minutes),
        whole("quantity", -units, units).required().refuse("range", pl.col("quantity") == 0),
        *_amounts(price, discount, net, whole("quantity", -units, units).value),
        money("coupon_amount", 0, most), text("offer_id"),
    ]  # fmt: skip
    feed = clean(task, "orders", cells)
    feed.first_wins("order_id", "line_id")
    bought = feed.good.filter(pl.col("quantity") > 0).group_by("user_id", "product_id").agg(
        pl.col("order_time").min().alias("_bought")
    )  # fmt: skip
    feed.good = feed.good.join(bought, on=["user_id", "product_id"], how="left")
    before = (pl.col("_bought") <= pl.col("order_time")).fill_null(value=False)
    reason = because("return_without_purchase:product_id", pl.col("product_id"), task.settings.ingest.max_value_chars)
    feed.refuse((pl.col("quantity") < 0) & ~before, pl.concat_list(reason))
    feed.good = feed.good.drop("_bought").with_columns(
        is_in("product_id", products["product_id"]).alias("known_product"),
        is_in("user_id", users["user_id"]).alias("_known_user"),
        pl.col("order_time").dt.date().alias("order_date"),
    )
    return feed


def _amounts(price: Cell, discount: Cell, net: Cell, quantity: pl.Expr) -> tuple[Cell, Cell, Cell]:
    """Works out the price or the net amount from the other one, where one is missing."""
    units = quantity.cast(pl.Int64).abs()
    off = discount.value.fill_null(0)
    paid = net.value.abs() + off
    full_net = pl.coalesce(net.value, quantity.sign() * (units * price.value - off))
    full_price = pl.coalesce(price.value, (2 * paid + units) // (2 * units))  # half up
    turned = (quantity.sign() * full_net) < 0
    neither = (said("unit_price").is_null() & said("net_amount").is_null(), "missing:unit_price", None)
    priced = Cell("unit_price", full_price, (*price.checks, neither))
    less = Cell("discount", off, discount.checks)
    return priced, less, replace(net, value=full_net).refuse("range", turned, full_net / SCALE)


def clean_exposures(task: Task, offers: pl.DataFrame) -> Feed:
    """What was shown to whom."""
    propensity = number("propensity", 0, 1)
    cells = [
        text("exposure_id").required(), text("assignment_id"), text("user_id").required(), text("offer_id"),
        instant("shown_at").required(), arrival("shown_at", task.settings.clean.clock_skew_minutes), text("channel"),
        whole("position", 1, 10_000), propensity.refuse("range", pl.col("propensity") <= 0),
        text("policy").required(), text("run_id"),
    ]  # fmt: skip
    feed = clean(task, "exposures", cells)
    feed.first_wins("exposure_id")
    _refuse_unknown_offers(task, feed, offers)
    return feed


def clean_redemptions(task: Task, offers: pl.DataFrame) -> Feed:
    """Which offers were used."""
    cells = [
        text("redemption_id").required(), text("user_id").required(), text("offer_id").required(), text("coupon_id"),
        instant("redeemed_at").required(), arrival("redeemed_at", task.settings.clean.clock_skew_minutes),
        text("order_id"), money("value", 0, task.settings.clean.max_money),
    ]  # fmt: skip
    feed = clean(task, "redemptions", cells)
    feed.first_wins("redemption_id")
    _refuse_unknown_offers(task, feed, offers)
    return feed


def _refuse_unknown_offers(task: Task, feed: Feed, offers: pl.DataFrame) -> None:
    reason = because("unknown:offer_id", pl.col("offer_id"), task.settings.ingest.max_value_chars)
    feed.refuse(~is_in("offer_id", offers["offer_id"]), pl.concat_list(reason))


def write(frame: pl.DataFrame, path: Path) -> None:
    """Writes a table; money as decimals."""
    amounts = [(pl.col(name) / SCALE).cast(pl.Decimal(18, 4)) for name in _MONEY if name in frame.columns]
    told = frame.select(pl.exclude("^_.*$", "source", "source_position", "loaded_at"))
    told.with_columns(amounts).write_parquet(path, compression="snappy")


def main() -> None:
    """Cleans all feeds, writes what came of it, and builds the features."""
    task = parse_task()
    products, users, offers = clean_products(task), clean_users(task), clean_offers(task)
    orders = clean_orders(task, products.good, users.good)
    exposures, redemptions = clean_exposures(task, offers.good), clean_redemptions(task, offers.good)
    clicks = clean_clicks(task, products.good, users.good)
    feeds = [products, users, offers, orders, exposures, redemptions, clicks]
    flags = (("unknown_users", "_known_user"), ("unknown_products", "known_product"))
    task.write_counts({each.name: each.counts(*(flags if each in (orders, clicks) else ())) for each in feeds})
    pl.concat(each.quarantine() for each in feeds).write_parquet(task.out / "quarantine.parquet", compression="snappy")
    for each in feeds:
        write(each.good, task.out / f"{'order_lines' if each is orders else each.name}.parquet")
    silver = Silver(*(each.good for each in (products, users, offers, orders, exposures, redemptions, clicks)))
    del feeds, products, users, offers, orders, exposures, redemptions, clicks
    user_features(task, silver).write_parquet(task.out / "user_features.parquet", compression="snappy")
    user_profiles(task, silver).write_parquet(task.out / "user_profiles.parquet", compression="snappy")


if __name__ == "__main__":
    main()
