"""Features of users as of one day, in DuckDB: what had happened and arrived before it."""

from __future__ import annotations

from _duckdb_events import sendings, visits
from _duckdb_formulas import formulas
from _duckdb_orders import purchases, rhythm
from _duckdb_windows import in_window, known
from _peer import OFFER_KINDS, YEAR, Task

_TOP = "split_part(category, ' > ', 1)"
_SHOP = {
    "visits": ("sessions", "searches", "offer_views", "offer_clicks", *(f"clicked_{kind}" for kind in OFFER_KINDS)),
    "purchases": ("spent", "orders", "lines"),
    "rhythm": ("gap_days", "gaps"),
    "sendings": ("used", "exposures", "app_used", "app_sent", "message_used", "message_sent"),
}
"""Where the sums are that are wanted over everybody."""


def _newest(task: Task, table: str, key: str, columns: str) -> str:
    """The newest version of each key that is known; the first one always is."""
    return (
        f"SELECT {key}, {columns} FROM (SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY arrived_at) AS number "
        f"FROM {table}) WHERE number = 1 OR arrived_at < TIMESTAMP '{task.as_of}' "
        f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY arrived_at DESC) = 1"
    )


def _signs(task: Task) -> dict[str, str]:
    """Product views and bought lines of the last year, one row each; and the products as they are known."""
    return {
        "signs": (
            "SELECT user_id, product_id, event_time AS happened, false AS bought FROM clicks WHERE event_type = 'view' "
            f"AND user_id IS NOT NULL AND product_id IS NOT NULL AND {known(task, 'event_time')} "
            f"AND {in_window(task, 'event_time', YEAR)} UNION ALL "
            "SELECT user_id, product_id, order_time, true FROM order_lines WHERE quantity > 0 "
            f"AND {known(task, 'order_time')} AND {in_window(task, 'order_time', YEAR)}"
        ),
        "listed": _newest(task, "products_kept", "product_id", f"{_TOP} AS category, brand"),
    }


def _interests(task: Task) -> dict[str, str]:
    """How many things each user looked at and bought, how widely spread, and how dear.

    A product's place is that among the prices of its category on the first day of the month.
    """
    return {
        **_signs(task),
        "months": "SELECT DISTINCT date_trunc('month', happened) AS month FROM signs",
        "versions": (
            f"SELECT product_id, {_TOP} AS category, price, arrived_at, "
            "row_number() OVER (PARTITION BY product_id ORDER BY arrived_at) AS number FROM products_kept"
        ),
        "lists": (
            "SELECT month, product_id, arg_max(category, arrived_at) AS category, "
            "arg_max((price,), arrived_at)[1] AS price FROM versions, months "
            "WHERE number = 1 OR arrived_at::DATE < month GROUP BY ALL"
        ),
        "places": (
            "SELECT month, product_id, round(1000000 * percent_rank() OVER w)::BIGINT AS place FROM lists "
            "WHERE price IS NOT NULL WINDOW w AS (PARTITION BY month, category ORDER BY price)"
        ),
        "counted": (
            "SELECT user_id, category, count(*) AS signs, sum(place) FILTER (NOT bought) AS view_place, "
            "count(place) FILTER (NOT bought) AS placed_views, sum(place) FILTER (bought) AS bought_place, "
            "count(place) FILTER (bought) AS placed_lines FROM signs JOIN listed USING (product_id) "
            "LEFT JOIN places ON places.product_id = signs.product_id AND month = date_trunc('month', happened) "
            "GROUP BY ALL"
        ),
        "interests": (
            "SELECT user_id, sum(signs)::BIGINT AS signs_364d, count(*) AS categories_364d, "
            "max(signs) / sum(signs) AS top_category_share, "
            "try_divide(sum(view_place), sum(placed_views)) / 1000000 AS viewed_price_position_364d, "
            "try_divide(sum(bought_place), sum(placed_lines)) / 1000000 AS bought_price_position_364d "
            "FROM counted GROUP BY user_id"
        ),
    }


def _everybody(task: Task) -> dict[str, str]:
    """Who has a row, and the shop's sums."""
    shop = (
        f"(SELECT {', '.join(f'sum({name}_{YEAR}d) AS shop_{name}' for name in names)} FROM {part})"
        for part, names in _SHOP.items()
    )
    return {
        "people": _newest(task, "users_kept", "user_id", "signup_time, age_band, gender, region"),
        "everybody": (
            f"SELECT user_id FROM people WHERE coalesce(signup_time < TIMESTAMP '{task.as_of}', true) UNION "
            "SELECT user_id FROM visits UNION SELECT user_id FROM purchases WHERE first_order IS NOT NULL"
        ),
        "shop": f"SELECT * FROM {', '.join(shop)}",
    }


def features_sql(task: Task) -> str:
    """The table `user_features` of the day."""
    steps = visits(task) | purchases(task) | rhythm(task) | sendings(task) | _interests(task) | _everybody(task)
    columns = ", ".join(f"{formula} AS {name}" for name, formula in formulas(task).items())
    joined = " ".join(
        f"LEFT JOIN {part} USING (user_id)"
        for part in ("people", "visits", "purchases", "rhythm", "sendings", "uses", "interests")
    )
    return f"{_with(steps)} SELECT user_id, {columns} FROM everybody {joined}, shop"


def profiles_sql(task: Task) -> str:
    """The table `user_profiles`: shares of categories and of the strongest brands."""

    def shares(what: str, limit: int | None) -> str:
        strongest = f"WHERE place <= {limit}" if limit else ""
        return (
            f"SELECT user_id, map_from_entries(list((key, value) ORDER BY place)) AS {what}_affinity FROM ("
            "SELECT user_id, key, signs / sum(signs) OVER (PARTITION BY user_id) AS value, "
            "row_number() OVER (PARTITION BY user_id ORDER BY signs DESC, key) AS place FROM ("
            f"SELECT user_id, {what} AS key, count(*) AS signs FROM signs JOIN listed USING (product_id) "
            f"WHERE {what} IS NOT NULL GROUP BY ALL)) {strongest} GROUP BY user_id"
        )

    steps = _signs(task) | {
        "categories": shares("category", None),
        "brands": shares("brand", task.settings.features.brand_limit),
    }
    both = "SELECT user_id, category_affinity, brand_affinity FROM categories FULL JOIN brands USING (user_id)"
    return f"{_with(steps)} {both}"


def _with(steps: dict[str, str]) -> str:
    return "WITH " + ", ".join(f"{name} AS ({query})" for name, query in steps.items())
