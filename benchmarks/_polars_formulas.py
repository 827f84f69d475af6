"""Each feature of a user in Polars: out of sums, moments, and the whole shop's sums."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
from _peer import COUNTS, DAY_PARTS, OFFER_KINDS, YEAR, Task
from _polars_parse import SCALE


def formulas(task: Task, shop: Mapping[str, int]) -> dict[str, pl.Expr]:
    """Feature to its formula.

    Args:
        task: What there is to do.
        shop: The sums over 364 days and everybody, by their names without the window.
    """
    settings = task.settings.features

    def drawn(of: str, whole: str, prior: float, days: int = YEAR) -> pl.Expr:
        """How many of one in one of the other, drawn to the shop's mean."""
        mean = pl.lit(shop[of] / shop[whole] if shop[whole] else None, pl.Float64)
        return (pl.col(f"{of}_{days}d") + prior * mean) / (pl.col(f"{whole}_{days}d") + prior)

    def a_session(of: str) -> pl.Expr:
        return drawn(of, "sessions", settings.prior_sessions)

    return {
        "tenure_days": pl.max_horizontal(_age(task, "signup_time"), _seen(task)),
        **{f"{name}_{days}d": pl.col(f"{name}_{days}d") for name, windows in COUNTS.items() for days in windows},
        **_shares(),
        "order_recency_days": _age(task, "last_order"),
        "typical_order_value": drawn("spent", "orders", settings.prior_orders) / SCALE,
        "lines_an_order": drawn("lines", "orders", settings.prior_orders),
        **_trends(task),
        **_rhythm(task, drawn("gap_days", "gaps", settings.prior_orders)),
        "visit_recency_days": _age(task, "last_click"),
        "search_rate": a_session("searches"),
        **_habits(),
        "offer_view_rate": a_session("offer_views"),
        "offer_click_rate": a_session("offer_clicks"),
        **{f"click_rate_{kind}": a_session(f"clicked_{kind}") for kind in OFFER_KINDS},
        "exposure_recency_days": _age(task, "last_sent"),
        "redemption_recency_days": _age(task, "last_redeemed"),
        "redemption_rate_364d": _share("used_364d", "exposures_364d"),
        "use_rate_84d": drawn("used", "exposures", settings.prior_offers, days=84),
        "app_use_rate": drawn("app_used", "app_sent", settings.prior_offers),
        "message_use_rate": drawn("message_used", "message_sent", settings.prior_offers),
        "used_depth_lift": _depth_lift(settings.prior_offers),
        "signs_364d": pl.col("signs_364d").fill_null(0),
        "categories_364d": pl.col("categories_364d").fill_null(0),
        **{
            name: pl.col(name)
            for name in ("viewed_price_position_364d", "bought_price_position_364d", "top_category_share")
        },
        **{name: pl.col(name) for name in ("age_band", "gender", "region")},
    }


def _age(task: Task, moment: str) -> pl.Expr:
    return (pl.lit(task.midnight) - pl.col(moment)).dt.total_microseconds() / 86_400_000_000


def _seen(task: Task) -> pl.Expr:
    """Days since the first click or order."""
    return pl.max_horizontal(_age(task, "first_click"), _age(task, "first_order"))


def _share(part: str, whole: str) -> pl.Expr:
    return pl.when(pl.col(whole) != 0).then(pl.col(part) / pl.col(whole))


def _at_most_all(part: str, whole: str) -> pl.Expr:
    return _share(part, whole).clip(upper_bound=1.0)


def _shares() -> dict[str, pl.Expr]:
    """Of money, returns and discounts; and the funnel."""
    return {
        **{f"money_{days}d": pl.col(f"money_{days}d") / SCALE for days in (28, 84, 364)},
        "order_value_364d": _share("spent_364d", "orders_364d") / SCALE,
        "returned_share_364d": _at_most_all("returned_units_364d", "units_364d"),
        "discount_share_364d": _at_most_all("discounts_364d", "gross_364d"),
        "discounted_share_364d": _share("discounted_lines_364d", "lines_364d"),
        "discount_depth_364d": _at_most_all("discounts_364d", "discounted_gross_364d"),
        "deep_discount_share_364d": _share("deep_discount_lines_364d", "lines_364d"),
        "cart_rate_84d": _share("carts_84d", "views_84d"),
        "cart_rate_364d": _share("carts_364d", "views_364d"),
        "conversion_84d": _share("orders_84d", "sessions_84d"),
    }


def _trends(task: Task) -> dict[str, pl.Expr]:
    """The last four weeks against the pace since a user was first seen, and what they were a year ago."""
    settings, seen = task.settings.features, _seen(task)

    def trend(of: str, days: int, prior: float) -> pl.Expr:
        pace = 28 * pl.col(f"{of}_{days}d") / pl.max_horizontal(28, seen).clip(upper_bound=days)
        return (pl.col(f"{of}_28d") + prior) / (pace + prior)

    def year_ago(of: str) -> pl.Expr:
        return pl.when(seen >= 364).then(pl.col(f"{of}_364d") - pl.col(f"{of}_336d"))

    return {
        "orders_trend": trend("orders", 364, settings.prior_orders),
        "visits_trend": trend("sessions", 84, settings.prior_sessions),
        "orders_year_ago_28d": year_ago("orders"),
        "money_year_ago_28d": year_ago("money") / SCALE,
    }


def _rhythm(task: Task, usual_gap: pl.Expr) -> dict[str, pl.Expr]:
    """Of the days with an order, for an expression of a user's mean gap."""
    stages = task.settings.features.lifecycle
    pause, gaps, gap_days = _age(task, "last_order"), pl.col("gaps_364d"), pl.col("gap_days_364d")
    overdue = pause / usual_gap
    variance = gaps * pl.col("gap_squares_364d") / gap_days**2 - 1
    stage = (
        pl.when(pause.is_null()).then(pl.lit("prospect"))
        .when(_age(task, "first_order") < stages.new_days).then(pl.lit("new"))
        .when(pause >= stages.lapsed_days).then(pl.lit("lapsed"))
        .when(overdue >= stages.dormant_gaps).then(pl.lit("dormant"))
        .when(overdue >= stages.cooling_gaps).then(pl.lit("cooling"))
        .when(pl.col("orders_364d") >= stages.loyal_orders).then(pl.lit("loyal"))
        .otherwise(pl.lit("active"))
    )  # fmt: skip
    return {
        "order_gap_days": usual_gap,
        "order_gap_variation": pl.when(gaps >= 2).then(variance.clip(lower_bound=0.0).sqrt()),
        "order_overdue": overdue,
        "lifecycle_stage": stage,
        "purchase_frequency": pl.col("gaps_ever"),
        "purchase_recency_weeks": pl.col("gap_days_ever") / 7,
        "purchase_age_weeks": (pl.lit(task.as_of) - pl.col("first_order").dt.date()).dt.total_days() / 7,
        "purchase_monetary": _share("repeat_spent_ever", "gaps_ever") / SCALE,
    }


def _habits() -> dict[str, pl.Expr]:
    """When, where and to what users come."""
    parts = [pl.col(f"{part}_clicks_364d") for part in DAY_PARTS]
    clicks = pl.sum_horizontal(parts)

    def of_clicks(value: pl.Expr, whole: pl.Expr) -> pl.Expr:
        return pl.when(clicks > 0).then(value / whole)

    return {
        "weekend_share_364d": of_clicks(pl.col("weekend_clicks_364d"), clicks),
        "day_part_concentration_364d": of_clicks(pl.sum_horizontal(part**2 for part in parts), clicks**2),
        "app_share_364d": of_clicks(pl.col("app_clicks_364d"), clicks),
        "unclicked_offers_84d": (pl.col("offer_views_84d") - pl.col("offer_clicks_84d")).clip(lower_bound=0),
    }


def _depth_lift(prior: float) -> pl.Expr:
    """How much deeper the offers are that are used than those that are sent, drawn to 0."""
    used, mean_sent = pl.col("percent_used_364d"), _share("depth_sent_364d", "percent_sent_364d")
    return (pl.col("depth_used_364d") - used * mean_sent) / (used + prior) / SCALE
