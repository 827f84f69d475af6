"""Each feature of a user in DuckDB's SQL: out of sums, moments, and the whole shop's sums."""

from __future__ import annotations

from _peer import COUNTS, DAY_PARTS, OFFER_KINDS, YEAR, Task


def formulas(task: Task) -> dict[str, str]:
    """Feature to its formula, over sums that are null for users who have none."""
    settings = task.settings.features

    def drawn(of: str, whole: str, prior: float, days: int = YEAR) -> str:
        """How many of one in one of the other, drawn to the shop's mean."""
        mean = f"try_divide(shop_{of}, shop_{whole})"
        return f"({_sum(f'{of}_{days}d')} + {prior} * {mean}) / ({_sum(f'{whole}_{days}d')} + {prior})"

    def a_session(of: str) -> str:
        return drawn(of, "sessions", settings.prior_sessions)

    as_they_are = ("viewed_price_position_364d", "bought_price_position_364d", "top_category_share", "age_band",
                   "gender", "region")  # fmt: skip
    return {
        "tenure_days": f"greatest({_age(task, 'signup_time')}, {_seen(task)})",
        **{f"{name}_{days}d": _sum(f"{name}_{days}d") for name, windows in COUNTS.items() for days in windows},
        **_shares(),
        "order_recency_days": _age(task, "last_order"),
        "typical_order_value": f"{drawn('spent', 'orders', settings.prior_orders)} / 10000",
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
        "redemption_rate_364d": "try_divide(used_364d, exposures_364d)",
        "use_rate_84d": drawn("used", "exposures", settings.prior_offers, days=84),
        "app_use_rate": drawn("app_used", "app_sent", settings.prior_offers),
        "message_use_rate": drawn("message_used", "message_sent", settings.prior_offers),
        "used_depth_lift": (
            "(depth_used_364d - percent_used_364d * try_divide(depth_sent_364d, percent_sent_364d)) "
            f"/ (percent_used_364d + {settings.prior_offers}) / 10000"
        ),
        "signs_364d": _sum("signs_364d"),
        "categories_364d": _sum("categories_364d"),
        **{name: name for name in as_they_are},
    }


def _sum(name: str) -> str:
    return f"coalesce({name}, 0)"


def _age(task: Task, moment: str) -> str:
    return f"(epoch_us(TIMESTAMP '{task.as_of}') - epoch_us({moment})) / 86400000000"


def _seen(task: Task) -> str:
    """Days since the first click or order."""
    return f"greatest({_age(task, 'first_click')}, {_age(task, 'first_order')})"


def _shares() -> dict[str, str]:
    """Of money, returns and discounts; and the funnel."""

    def at_most_all(part: str, whole: str) -> str:
        return f"try_divide(least({part}, {whole}), {whole})"

    return {
        **{f"money_{days}d": f"{_sum(f'money_{days}d')} / 10000" for days in (28, 84, 364)},
        "order_value_364d": "try_divide(spent_364d, orders_364d) / 10000",
        "returned_share_364d": at_most_all("returned_units_364d", "units_364d"),
        "discount_share_364d": at_most_all("discounts_364d", "gross_364d"),
        "discounted_share_364d": "try_divide(discounted_lines_364d, lines_364d)",
        "discount_depth_364d": at_most_all("discounts_364d", "discounted_gross_364d"),
        "deep_discount_share_364d": "try_divide(deep_discount_lines_364d, lines_364d)",
        "cart_rate_84d": "try_divide(carts_84d, views_84d)",
        "cart_rate_364d": "try_divide(carts_364d, views_364d)",
        "conversion_84d": f"try_divide({_sum('orders_84d')}, sessions_84d)",
    }


def _trends(task: Task) -> dict[str, str]:
    """The last four weeks against the pace since a user was first seen, and what they were a year ago."""
    settings, seen = task.settings.features, _seen(task)

    def trend(of: str, days: int, prior: float) -> str:
        pace = f"28 * {_sum(f'{of}_{days}d')} / least({days}, greatest(28, {seen}))"
        return f"({_sum(f'{of}_28d')} + {prior}) / ({pace} + {prior})"

    def year_ago(of: str) -> str:
        return f"CASE WHEN {seen} >= 364 THEN {_sum(f'{of}_364d')} - {_sum(f'{of}_336d')} END"

    return {
        "orders_trend": trend("orders", 364, settings.prior_orders),
        "visits_trend": trend("sessions", 84, settings.prior_sessions),
        "orders_year_ago_28d": year_ago("orders"),
        "money_year_ago_28d": f"{year_ago('money')} / 10000",
    }


def _rhythm(task: Task, usual_gap: str) -> dict[str, str]:
    """Of the days with an order, for a user's mean gap."""
    stages, pause = task.settings.features.lifecycle, _age(task, "last_order")
    overdue = f"{pause} / ({usual_gap})"
    return {
        "order_gap_days": usual_gap,
        "order_gap_variation": (
            "CASE WHEN gaps_364d >= 2 "
            "THEN sqrt(greatest(0, gaps_364d * gap_squares_364d / (gap_days_364d * gap_days_364d) - 1)) END"
        ),
        "order_overdue": overdue,
        "lifecycle_stage": (
            "CASE WHEN last_order IS NULL THEN 'prospect' "
            f"WHEN {_age(task, 'first_order')} < {stages.new_days} THEN 'new' "
            f"WHEN {pause} >= {stages.lapsed_days} THEN 'lapsed' "
            f"WHEN {overdue} >= {stages.dormant_gaps} THEN 'dormant' "
            f"WHEN {overdue} >= {stages.cooling_gaps} THEN 'cooling' "
            f"WHEN orders_364d >= {stages.loyal_orders} THEN 'loyal' ELSE 'active' END"
        ),
        "purchase_frequency": _sum("gaps_ever"),
        "purchase_recency_weeks": f"{_sum('gap_days_ever')} / 7",
        "purchase_age_weeks": f"(DATE '{task.as_of}' - first_order::DATE) / 7",
        "purchase_monetary": "try_divide(repeat_spent_ever, gaps_ever) / 10000",
    }


def _habits() -> dict[str, str]:
    """When, where and to what users come."""
    parts = [f"{part}_clicks_364d" for part in DAY_PARTS]
    clicks = f"({' + '.join(parts)})"
    squares = " + ".join(f"{part} * {part}" for part in parts)
    unclicked = f"{_sum('offer_views_84d')} - {_sum('offer_clicks_84d')}"
    return {
        "weekend_share_364d": f"try_divide(weekend_clicks_364d, {clicks})",
        "day_part_concentration_364d": f"try_divide({squares}, {clicks} * {clicks})",
        "app_share_364d": f"try_divide(app_clicks_364d, {clicks})",
        "unclicked_offers_84d": f"greatest(0, {unclicked})",
    }
