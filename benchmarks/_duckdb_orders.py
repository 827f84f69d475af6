"""What users bought, and in which rhythm, in DuckDB's SQL: sums as of one day, one row a user."""

from __future__ import annotations

from _duckdb_windows import known, sums
from _peer import Task


def _caps(task: Task) -> dict[str, str]:
    """Beyond which amount a line counts as the cap, by the month from which it counts.

    exp(median + mads × 1.4826 × MAD) of the logarithms of what was paid in the months before, in bins 0.1 % wide.
    """

    def median(counted: str, value: str) -> str:
        """Of a value that stands for `lines` of them, by month."""
        return (
            f"SELECT month, sum(lines) AS known, (min(value) FILTER (upto > (known - 1) // 2) + "
            f"min(value) FILTER (upto > known // 2)) / 2.0 AS middle FROM (SELECT month, {value} AS value, lines, "
            f"sum(lines) OVER (PARTITION BY month ORDER BY {value} ROWS UNBOUNDED PRECEDING) AS upto, "
            f"sum(lines) OVER (PARTITION BY month) AS known FROM {counted}) GROUP BY month, known"
        )

    mads = task.settings.features.outlier_mads
    return {
        "paid": (
            "SELECT month, floor(ln(net) * 1000) AS bin, count(*) AS lines FROM lines "
            "WHERE quantity > 0 AND net > 0 GROUP BY ALL"
        ),
        "before": (
            "SELECT months.month, bin, sum(lines) AS lines FROM (SELECT DISTINCT month FROM paid) AS months "
            "JOIN paid ON paid.month < months.month GROUP BY ALL"
        ),
        "middles": median("before", "bin"),
        "spreads": median(
            "(SELECT month, abs(bin - middle) AS off, lines FROM before JOIN middles USING (month))", "off"
        ),
        "caps": (
            f"SELECT month, exp((middles.middle + 1 + {mads} * 1.4826 * spreads.middle) / 1000) AS cap "
            "FROM middles JOIN spreads USING (month) WHERE middles.known >= 100 AND spreads.middle > 0"
        ),
    }


def purchases(task: Task) -> dict[str, str]:
    """Sums of order lines by user; an order is an order_id on a day."""
    gross = "price * quantity"
    bought = {"spent": "net", "gross": gross, "discounts": "off", "units": "quantity"}
    deep = f"coalesce(try_divide(off, {gross}) >= {task.settings.features.deep_discount}, false)"
    values = {
        "orders": "opens::INTEGER",
        "money": "net",
        **{name: f"CASE WHEN quantity > 0 THEN {value} END" for name, value in bought.items()},
        "returned_units": "CASE WHEN quantity < 0 THEN -quantity END",
        "lines": "(quantity > 0)::INTEGER",
        "discounted_lines": "(quantity > 0 AND off > 0)::INTEGER",
        "discounted_gross": f"CASE WHEN quantity > 0 AND off > 0 THEN {gross} END",
        "deep_discount_lines": f"(quantity > 0 AND off > 0 AND {deep})::INTEGER",
        "coupon_lines": "(quantity > 0 AND coupon_amount > 0)::INTEGER",
    }
    return {
        "lines": (
            "SELECT user_id, order_id, order_time, arrived_at, quantity::BIGINT AS quantity, coupon_amount, "
            "(net_amount * 10000)::BIGINT AS net, (unit_price * 10000)::BIGINT AS price, "
            "(discount * 10000)::BIGINT AS off, "
            "date_trunc('month', greatest(order_time, arrived_at)::DATE + 1) AS month FROM order_lines"
        ),
        **_caps(task),
        "capped": (
            "SELECT user_id, order_time, quantity, coupon_amount, price, off, "
            "CASE WHEN abs(net) > cap THEN trunc(sign(net) * cap)::BIGINT ELSE net END AS net, "
            "quantity > 0 AND row_number() OVER (PARTITION BY user_id, order_id, order_time::DATE, quantity > 0) = 1 "
            f"AS opens FROM lines LEFT JOIN caps USING (month) WHERE {known(task, 'order_time')}"
        ),
        "purchases": (
            f"SELECT user_id, {sums(task, 'order_time', values)}, "
            "min(order_time) FILTER (quantity > 0) AS first_order, max(order_time) FILTER (quantity > 0) AS last_order "
            "FROM capped GROUP BY user_id"
        ),
    }


def rhythm(task: Task) -> dict[str, str]:
    """Sums over days with an order, by user: how long after the one before, and what was spent after the first."""
    values = {"gaps": "(gap IS NOT NULL)::INTEGER", "gap_days": "gap", "gap_squares": "gap * gap"}
    return {
        "order_days": (
            "SELECT user_id, order_time::DATE AS day, sum(net) AS spent FROM capped WHERE quantity > 0 GROUP BY ALL"
        ),
        "gaps": "SELECT *, day - lag(day) OVER (PARTITION BY user_id ORDER BY day) AS gap FROM order_days",
        "rhythm": (
            f"SELECT user_id, {sums(task, 'day', values)}, count(gap) AS gaps_ever, sum(gap) AS gap_days_ever, "
            "sum(spent) FILTER (gap IS NOT NULL) AS repeat_spent_ever FROM gaps GROUP BY user_id"
        ),
    }
