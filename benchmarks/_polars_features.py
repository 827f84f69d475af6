"""Features of users as of one day, in Polars: what had happened and arrived before it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
from _peer import OFFER_KINDS, Task
from _polars_parse import SCALE

_CLICKS = {
    "views": "view", "carts": "add_to_cart", "cart_removals": "remove_from_cart", "searches": "search",
    "offer_views": "offer_view", "offer_clicks": "offer_click", "content_views": "content_view",
}  # fmt: skip
_WINDOWS = {
    "sessions": (7, 28, 84, 364), "views": (28, 84, 364), "carts": (28, 84, 364), "cart_removals": (84,),
    "searches": (84,), "offer_views": (84, 364), "offer_clicks": (84, 364), "content_views": (84,),
    "orders": (28, 84, 364), "money": (28, 84, 364), "exposures": (28, 84, 364),
}  # fmt: skip
_YEAR = 364
_TOP = pl.col("category").str.split(" > ").list.first().alias("category")


@dataclass(frozen=True)
class Silver:
    """The cleaned tables."""

    products: pl.DataFrame
    users: pl.DataFrame
    offers: pl.DataFrame
    order_lines: pl.DataFrame
    exposures: pl.DataFrame
    redemptions: pl.DataFrame
    clicks: pl.DataFrame


def _known(task: Task, frame: pl.DataFrame, happened: str) -> pl.DataFrame:
    """What had happened and arrived before the day, with the `day` on which it happened."""
    known = frame.filter(pl.max_horizontal(happened, "arrived_at") < task.midnight)
    return known.with_columns(pl.col(happened).dt.date().alias("day"))


def _newest(frame: pl.DataFrame, key: str, before: pl.Expr) -> pl.DataFrame:
    """The newest version of each key that is known; the first one always is."""
    ordered = frame.sort(key, "arrived_at")
    return ordered.filter(before | pl.col(key).is_first_distinct()).unique(key, keep="last")


def _in_window(task: Task, days: int) -> pl.Expr:
    return pl.col("day") >= pl.lit(task.as_of) - pl.duration(days=days)


def _sums(task: Task, values: Mapping[str, pl.Expr]) -> list[pl.Expr]:
    """Sums of each over its windows, called <name>_<days>d."""
    return [
        pl.when(_in_window(task, days)).then(value).sum().cast(pl.Int64).alias(f"{name}_{days}d")
        for name, value in values.items()
        for days in _WINDOWS.get(name, (_YEAR,))
    ]


def _visits(task: Task, silver: Silver) -> pl.DataFrame:
    """Sums of clicks by user; a session begins where nothing known came shortly before."""
    kinds = silver.offers.sort("arrived_at").unique("offer_id", keep="first").select("offer_id", "kind")
    gap = pl.duration(minutes=task.settings.clean.session_gap_minutes)
    events = (
        _known(task, silver.clicks.filter(pl.col("user_id").is_not_null()), "event_time")
        .select("user_id", "event_time", "event_type", "offer_id", "day")
        .with_columns(pl.col("user_id").cast(pl.Categorical).to_physical().alias("user"))
        .sort("user", "event_time")
    )
    other, pause = pl.col("user") != pl.col("user").shift(), pl.col("event_time").diff()
    told = events.with_columns((other | (pause > gap)).fill_null(value=True).alias("begins"))
    kind, kind_of = pl.col("event_type"), pl.col("kind")
    values = {"sessions": pl.col("begins"), **{name: kind == word for name, word in _CLICKS.items()}}
    clicked = {f"clicked_{word}": (kind == "offer_click") & (kind_of == word) for word in OFFER_KINDS}
    firsts = (pl.col("event_time").min().alias("first_click"), pl.col("event_time").max().alias("last_click"))
    return (
        told.lazy()
        .join(kinds.lazy(), on="offer_id", how="left")
        .group_by("user_id")
        .agg(*_sums(task, values | clicked), *firsts)
        .collect(engine="streaming")
    )


def _caps(task: Task, lines: pl.DataFrame) -> pl.DataFrame:
    """Beyond which amount a line counts as the cap, by the month from which it counts: `month` and `cap`.

    exp(median + mads × 1.4826 × MAD) of the logarithms of what was paid in the months before, in bins 0.1 % wide.
    """
    paid = lines.filter((pl.col("quantity") > 0) & (pl.col("net_amount") > 0))
    by_month = (
        paid.select("month", (pl.col("net_amount").cast(pl.Float64).log() * 1000).floor().alias("bin"))
        .group_by("month", "bin")
        .len("lines")
    )
    mads = task.settings.features.outlier_mads
    assert mads is not None
    rows = []
    for month in by_month["month"].unique().sort():
        before = by_month.filter(pl.col("month") < month).group_by("bin").agg(pl.col("lines").sum())
        if before["lines"].sum() < 100:
            continue
        middle = _median(before, pl.col("bin"))
        spread = _median(before, (pl.col("bin") - middle).abs())
        if spread > 0:
            rows.append((month, math.exp((middle + 1 + mads * 1.4826 * spread) / 1000)))
    return pl.DataFrame(rows, schema={"month": pl.Date, "cap": pl.Float64}, orient="row")


def _median(counted: pl.DataFrame, value: pl.Expr) -> float:
    """Of values that each stand for `lines` of them."""
    ordered = counted.select(value.alias("value"), "lines").sort("value").with_columns(pl.col("lines").cum_sum())
    last = int(ordered["lines"][-1]) - 1
    low, high = (ordered.filter(pl.col("lines") > rank)["value"][0] for rank in (last // 2, (last + 1) // 2))
    return float(low + high) / 2


def _purchases(task: Task, silver: Silver) -> pl.DataFrame:
    """Sums of order lines by user; an order is an order_id on a day."""
    counts_from = pl.max_horizontal("order_time", "arrived_at").dt.date() + pl.duration(days=1)
    lines = silver.order_lines.with_columns(counts_from.dt.truncate("1mo").alias("month"))
    net, bought = pl.col("net_amount"), pl.col("quantity") > 0
    capped = pl.when(net.abs() > pl.col("cap")).then((net.sign() * pl.col("cap")).cast(pl.Int64)).otherwise(net)
    told = (
        _known(task, lines, "order_time")
        .join(_caps(task, lines), on="month", how="left")
        .with_columns(capped.alias("net_amount"), bought.alias("bought"))
        .with_columns((pl.struct("user_id", "order_id", "day", "bought").is_first_distinct() & bought).alias("opens"))
    )
    units = pl.col("quantity").cast(pl.Int64)
    of_bought = {"spent": net, "gross": pl.col("unit_price") * units, "discounts": pl.col("discount"), "units": units}
    values = {
        "orders": pl.col("opens"),
        "money": net,
        **{name: pl.when("bought").then(value) for name, value in of_bought.items()},
        "returned_units": pl.when(~pl.col("bought")).then(-units),
        "lines": pl.col("bought"),
        "discounted_lines": pl.col("bought") & (pl.col("discount") > 0),
        "coupon_lines": pl.col("bought") & (pl.col("coupon_amount") > 0),
    }
    at = pl.when("bought").then("order_time")
    firsts = (at.min().alias("first_order"), at.max().alias("last_order"))
    return told.group_by("user_id").agg(*_sums(task, values), *firsts)


def _sendings(task: Task, silver: Silver) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sums of offers sent by user, and of redemptions; a use within the label window is the exposure's."""
    horizon = pl.duration(days=task.settings.examples.horizon_days)
    sent = _known(task, silver.exposures.filter(pl.col("offer_id").is_not_null()), "shown_at")
    seen = _known(task, silver.redemptions, "redeemed_at")
    within = (pl.col("redeemed_at") >= pl.col("shown_at")) & (pl.col("redeemed_at") < pl.col("shown_at") + horizon)
    uses = seen.select("user_id", "offer_id", "redeemed_at")
    used = sent.join(uses, on=["user_id", "offer_id"]).filter(within).select("exposure_id").unique()
    told = sent.with_columns(pl.col("exposure_id").is_in(used["exposure_id"].implode()).alias("used"))
    values = {"exposures": pl.lit(value=True), "used": pl.col("used")}
    exposures = told.group_by("user_id").agg(*_sums(task, values), pl.col("shown_at").max().alias("last_sent"))
    return exposures, seen.group_by("user_id").agg(*_sums(task, {"redemptions": pl.lit(value=True)}))


def _signs(task: Task, silver: Silver) -> pl.DataFrame:
    """Product views and bought lines of the last year, one row each."""
    seen = silver.clicks.filter(
        (pl.col("event_type") == "view") & pl.col("user_id").is_not_null() & pl.col("product_id").is_not_null()
    )
    views = _known(task, seen, "event_time").select("user_id", "product_id", "day", pl.lit(value=False).alias("bought"))
    lines = _known(task, silver.order_lines.filter(pl.col("quantity") > 0), "order_time")
    both = pl.concat([views, lines.select("user_id", "product_id", "day", pl.lit(value=True).alias("bought"))])
    return both.filter(_in_window(task, _YEAR))


def _positions(silver: Silver, months: pl.Series) -> pl.DataFrame:
    """Each priced product's place among the prices of its category on the first day of each month, in millionths."""
    listed = silver.products.with_columns(_TOP).sort("product_id", "arrived_at")
    first = pl.col("product_id").is_first_distinct()
    known = (
        listed.with_columns(first.alias("first"))
        .join(pl.DataFrame({"month": months}), how="cross")
        .filter(pl.col("first") | (pl.col("arrived_at").dt.date() < pl.col("month")))
        .unique(["product_id", "month"], keep="last", maintain_order=True)
        .filter(pl.col("price").is_not_null())
    )
    among = ("month", "category")
    rank = pl.col("price").rank("min").over(among).cast(pl.Int64) - 1
    others = pl.len().over(among).cast(pl.Int64) - 1
    place = pl.when(others > 0).then(rank / others).otherwise(0.0)
    return known.select(
        "product_id", "month", (place * 1_000_000).round(mode="half_away_from_zero").cast(pl.Int64).alias("position")
    )


def _interests(task: Task, silver: Silver) -> pl.DataFrame:
    """How many things each user looked at and bought, how widely spread, and how dear."""
    signs = _signs(task, silver).with_columns(pl.col("day").dt.truncate("1mo").alias("month"))
    products = _newest(silver.products, "product_id", pl.col("arrived_at") < task.midnight)
    placed = pl.col("position").is_not_null()
    counted = (
        signs.lazy()
        .join(_positions(silver, signs["month"].unique()).lazy(), on=["product_id", "month"], how="left")
        .join(products.lazy().select("product_id", _TOP), on="product_id")
        .group_by("user_id", "category")
        .agg(
            pl.len().cast(pl.Int64).alias("signs"),
            pl.col("position").filter(~pl.col("bought")).sum().alias("view_position"),
            (placed & ~pl.col("bought")).sum().alias("placed_views"),
            pl.col("position").filter("bought").sum().alias("bought_position"),
            (placed & pl.col("bought")).sum().alias("placed_lines"),
        )
        .collect(engine="streaming")
    )

    def position(total: str, number: str) -> pl.Expr:
        count = pl.col(number).sum()
        return pl.when(count > 0).then(pl.col(total).sum() / count / 1_000_000)

    return counted.group_by("user_id").agg(
        pl.col("signs").sum().alias("signs_364d"),
        pl.len().alias("categories_364d"),
        (pl.col("signs").max() / pl.col("signs").sum()).alias("top_category_share"),
        position("view_position", "placed_views").alias("viewed_price_position_364d"),
        position("bought_position", "placed_lines").alias("bought_price_position_364d"),
    )


def user_features(task: Task, silver: Silver) -> pl.DataFrame:
    """The table `user_features` of the day."""
    visits, purchases = _visits(task, silver), _purchases(task, silver)
    exposures, redemptions = _sendings(task, silver)
    users = _newest(silver.users, "user_id", pl.col("arrived_at") < task.midnight)
    signed_up = users.filter(pl.col("signup_time").is_null() | (pl.col("signup_time") < task.midnight))
    bought = purchases.filter(pl.col("first_order").is_not_null())
    everybody = pl.concat(each.select("user_id") for each in (signed_up, visits, bought)).unique()
    attributes = users.select("user_id", "signup_time", "age_band", "gender", "region")
    known = everybody.join(attributes, on="user_id", how="left")
    counts: list[str] = []
    for part in (visits, purchases, exposures, redemptions):
        known = known.join(part, on="user_id", how="left")
        counts += [name for name in part.columns if name.endswith("d") and name[-2].isdigit()]
    known = known.with_columns(pl.col(counts).fill_null(0)).join(_interests(task, silver), on="user_id", how="left")
    shop = {
        name.removesuffix("_364d"): int(each[name].sum())
        for each in (visits, purchases)
        for name in each.columns
        if name.endswith("_364d")
    }
    return known.select("user_id", **_formulas(task, shop))


def _formulas(task: Task, shop: Mapping[str, int]) -> dict[str, pl.Expr]:
    """Each feature out of sums, moments and the shop's sums."""
    settings = task.settings.features

    def age(moment: str) -> pl.Expr:
        return (pl.lit(task.midnight) - pl.col(moment)).dt.total_microseconds() / 86_400_000_000

    def share(part: str, whole: str) -> pl.Expr:
        return pl.when(pl.col(whole) != 0).then(pl.col(part) / pl.col(whole))

    def a_session(of: str) -> pl.Expr:
        mean = shop[of] / shop["sessions"] if shop["sessions"] else None
        return (pl.col(f"{of}_364d") + settings.prior_sessions * pl.lit(mean, pl.Float64)) / (
            pl.col("sessions_364d") + settings.prior_sessions
        )

    mean_order = settings.prior_orders * pl.lit(shop["spent"] / shop["orders"] if shop["orders"] else None, pl.Float64)
    typical = (pl.col("spent_364d") + mean_order) / (pl.col("orders_364d") + settings.prior_orders) / SCALE
    counts = {
        "orders": (28, 84, 364), "units": (364,), "coupon_lines": (364,), "sessions": (7, 28, 84, 364),
        "views": (28, 84, 364), "carts": (28, 84, 364), "cart_removals": (84,), "searches": (84,), "offer_views": (84,),
        "offer_clicks": (84,), "content_views": (84,), "exposures": (28, 84, 364), "redemptions": (364,),
    }  # fmt: skip
    return {
        "tenure_days": pl.max_horizontal(age("signup_time"), age("first_click"), age("first_order")),
        "order_recency_days": age("last_order"),
        **{f"{name}_{days}d": pl.col(f"{name}_{days}d") for name, windows in counts.items() for days in windows},
        **{f"money_{days}d": pl.col(f"money_{days}d") / SCALE for days in (28, 84, 364)},
        "order_value_364d": share("spent_364d", "orders_364d") / SCALE,
        "typical_order_value": typical,
        "returned_share_364d": share("returned_units_364d", "units_364d").clip(upper_bound=1.0),
        "discount_share_364d": share("discounts_364d", "gross_364d").clip(upper_bound=1.0),
        "discounted_share_364d": share("discounted_lines_364d", "lines_364d"),
        "visit_recency_days": age("last_click"),
        "cart_rate_84d": share("carts_84d", "views_84d"),
        "cart_rate_364d": share("carts_364d", "views_364d"),
        "conversion_84d": share("orders_84d", "sessions_84d"),
        "viewed_price_position_364d": pl.col("viewed_price_position_364d"),
        "bought_price_position_364d": pl.col("bought_price_position_364d"),
        "offer_view_rate": a_session("offer_views"),
        "offer_click_rate": a_session("offer_clicks"),
        **{f"click_rate_{kind}": a_session(f"clicked_{kind}") for kind in OFFER_KINDS},
        "exposure_recency_days": age("last_sent"),
        "redemption_rate_364d": share("used_364d", "exposures_364d"),
        "signs_364d": pl.col("signs_364d").fill_null(0),
        "categories_364d": pl.col("categories_364d").fill_null(0),
        **{name: pl.col(name) for name in ("top_category_share", "age_band", "gender", "region")},
    }


def user_profiles(task: Task, silver: Silver) -> pl.DataFrame:
    """The table `user_profiles`: shares of categories and of the strongest brands, a list of keys and values each."""
    signs = _signs(task, silver).select("user_id", "product_id")
    products = _newest(silver.products, "product_id", pl.col("arrived_at") < task.midnight).with_columns(_TOP)
    shares = []
    for what, limit in (("category", None), ("brand", task.settings.features.brand_limit)):
        of = products.filter(pl.col(what).is_not_null()).select("product_id", pl.col(what).alias("key"))
        counted = signs.lazy().join(of.lazy(), on="product_id").group_by("user_id", "key").agg(pl.len().alias("signs"))
        ordered = counted.with_columns((pl.col("signs") / pl.col("signs").sum().over("user_id")).alias("value")).sort(
            "user_id", "signs", "key", descending=[False, True, False]
        )
        entries = pl.struct("key", "value")
        entries = entries if limit is None else entries.head(limit)
        shares.append(ordered.group_by("user_id").agg(entries.alias(f"{what}_affinity")).collect(engine="streaming"))
    return shares[0].join(shares[1], on="user_id", how="full", coalesce=True)
