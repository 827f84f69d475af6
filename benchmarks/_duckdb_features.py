"""Features of users as of one day, in DuckDB: what had happened and arrived before it."""

from __future__ import annotations

from _peer import OFFER_KINDS, Task

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
_TOP = "split_part(category, ' > ', 1)"


def _known(task: Task, happened: str) -> str:
    return f"greatest({happened}, arrived_at) < TIMESTAMP '{task.as_of}'"


def _in_window(task: Task, happened: str, days: int) -> str:
    return f"{happened} >= TIMESTAMP '{task.as_of}' - INTERVAL {days} DAY"


def _sums(task: Task, happened: str, values: dict[str, str]) -> str:
    """Sums of each over its windows, called <name>_<days>d."""
    return ", ".join(
        f"coalesce(sum({value}) FILTER ({_in_window(task, happened, days)}), 0)::BIGINT AS {name}_{days}d"
        for name, value in values.items()
        for days in _WINDOWS.get(name, (_YEAR,))
    )


def _newest(task: Task, table: str, key: str, columns: str) -> str:
    """The newest version of each key that is known; the first one always is."""
    return (
        f"SELECT {key}, {columns} FROM (SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY arrived_at) AS number "
        f"FROM {table}) WHERE number = 1 OR arrived_at < TIMESTAMP '{task.as_of}' "
        f"QUALIFY row_number() OVER (PARTITION BY {key} ORDER BY arrived_at DESC) = 1"
    )


def _visits(task: Task) -> dict[str, str]:
    """Sums of clicks by user; a session begins where nothing known came shortly before."""
    values = {"sessions": "begins", **{name: f"(event_type = '{kind}')" for name, kind in _CLICKS.items()}}
    values |= {f"clicked_{kind}": f"(event_type = 'offer_click' AND kind = '{kind}')" for kind in OFFER_KINDS}
    values = {name: f"{value}::INTEGER" for name, value in values.items()}
    gap = task.settings.clean.session_gap_minutes
    return {
        "kinds": "SELECT offer_id, arg_min(kind, arrived_at) AS kind FROM offers_kept GROUP BY offer_id",
        "begun": (
            "SELECT user_id, event_time, event_type, offer_id, "
            f"coalesce(event_time - lag(event_time) OVER w > INTERVAL {gap} MINUTE, true) AS begins "
            f"FROM clicks WHERE user_id IS NOT NULL AND {_known(task, 'event_time')} "
            "WINDOW w AS (PARTITION BY user_id ORDER BY event_time)"
        ),
        "visits": (
            f"SELECT user_id, {_sums(task, 'event_time', values)}, min(event_time) AS first_click, "
            "max(event_time) AS last_click FROM begun LEFT JOIN kinds USING (offer_id) GROUP BY user_id"
        ),
    }


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


def _purchases(task: Task) -> dict[str, str]:
    """Sums of order lines by user; an order is an order_id on a day."""
    bought = {"spent": "net", "gross": "price * quantity", "discounts": "off", "units": "quantity"}
    values = {
        "orders": "opens::INTEGER",
        "money": "net",
        **{name: f"CASE WHEN quantity > 0 THEN {value} END" for name, value in bought.items()},
        "returned_units": "CASE WHEN quantity < 0 THEN -quantity END",
        "lines": "(quantity > 0)::INTEGER",
        "discounted_lines": "(quantity > 0 AND off > 0)::INTEGER",
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
            f"AS opens FROM lines LEFT JOIN caps USING (month) WHERE {_known(task, 'order_time')}"
        ),
        "purchases": (
            f"SELECT user_id, {_sums(task, 'order_time', values)}, "
            "min(order_time) FILTER (quantity > 0) AS first_order, max(order_time) FILTER (quantity > 0) AS last_order "
            "FROM capped GROUP BY user_id"
        ),
    }


def _sendings(task: Task) -> dict[str, str]:
    """Sums of offers sent by user, and of redemptions; a use within the label window is the exposure's."""
    horizon = task.settings.examples.horizon_days
    return {
        "seen": f"SELECT * FROM redemptions_kept WHERE {_known(task, 'redeemed_at')}",
        "sent": (
            "SELECT *, EXISTS (SELECT 1 FROM seen WHERE seen.user_id = shown.user_id "
            "AND seen.offer_id = shown.offer_id AND redeemed_at >= shown_at "
            f"AND redeemed_at < shown_at + INTERVAL {horizon} DAY) AS used "
            f"FROM exposures_kept AS shown WHERE offer_id IS NOT NULL AND {_known(task, 'shown_at')}"
        ),
        "sendings": (
            f"SELECT user_id, {_sums(task, 'shown_at', {'exposures': '1', 'used': 'used::INTEGER'})}, "
            "max(shown_at) AS last_sent FROM sent GROUP BY user_id"
        ),
        "uses": f"SELECT user_id, {_sums(task, 'redeemed_at', {'redemptions': '1'})} FROM seen GROUP BY user_id",
    }


def _signs(task: Task) -> dict[str, str]:
    """Product views and bought lines of the last year, one row each; and the products as they are known."""
    return {
        "signs": (
            "SELECT user_id, product_id, event_time AS happened, false AS bought FROM clicks WHERE event_type = 'view' "
            f"AND user_id IS NOT NULL AND product_id IS NOT NULL AND {_known(task, 'event_time')} "
            f"AND {_in_window(task, 'event_time', _YEAR)} UNION ALL "
            "SELECT user_id, product_id, order_time, true FROM order_lines WHERE quantity > 0 "
            f"AND {_known(task, 'order_time')} AND {_in_window(task, 'order_time', _YEAR)}"
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
    shop = ("sessions", "offer_views", "offer_clicks", *(f"clicked_{kind}" for kind in OFFER_KINDS))
    sums = ", ".join(f"sum({name}_364d) AS shop_{name}" for name in shop)
    return {
        "people": _newest(task, "users_kept", "user_id", "signup_time, age_band, gender, region"),
        "everybody": (
            f"SELECT user_id FROM people WHERE coalesce(signup_time < TIMESTAMP '{task.as_of}', true) UNION "
            "SELECT user_id FROM visits UNION SELECT user_id FROM purchases WHERE first_order IS NOT NULL"
        ),
        "shop": f"SELECT *, (SELECT sum(spent_364d) FROM purchases) AS shop_spent, "
        f"(SELECT sum(orders_364d) FROM purchases) AS shop_orders FROM (SELECT {sums} FROM visits)",
    }


def _formulas(task: Task) -> dict[str, str]:
    """Each feature out of sums, moments and the shop's sums."""
    settings = task.settings.features

    def count(name: str) -> str:
        return f"coalesce({name}, 0)"

    def age(moment: str) -> str:
        return f"(epoch_us(TIMESTAMP '{task.as_of}') - epoch_us({moment})) / 86400000000"

    def a_session(of: str) -> str:
        prior = f"{settings.prior_sessions} * try_divide(shop_{of}, shop_sessions)"
        return f"({count(f'{of}_364d')} + {prior}) / ({count('sessions_364d')} + {settings.prior_sessions})"

    def most(share: str) -> str:
        return f"CASE WHEN {share} > 1 THEN 1.0 ELSE {share} END"

    counts = {
        "orders": (28, 84, 364), "units": (364,), "coupon_lines": (364,), "sessions": (7, 28, 84, 364),
        "views": (28, 84, 364), "carts": (28, 84, 364), "cart_removals": (84,), "searches": (84,), "offer_views": (84,),
        "offer_clicks": (84,), "content_views": (84,), "exposures": (28, 84, 364), "redemptions": (364,),
    }  # fmt: skip
    mean_order = f"{settings.prior_orders} * try_divide(shop_spent, shop_orders)"
    own = f"({count('spent_364d')} + {mean_order}) / ({count('orders_364d')} + {settings.prior_orders})"
    as_they_are = ("viewed_price_position_364d", "bought_price_position_364d", "top_category_share", "age_band",
                   "gender", "region")  # fmt: skip
    return {
        "tenure_days": f"greatest({age('signup_time')}, {age('first_click')}, {age('first_order')})",
        "order_recency_days": age("last_order"),
        **{f"{name}_{days}d": count(f"{name}_{days}d") for name, windows in counts.items() for days in windows},
        **{f"money_{days}d": f"{count(f'money_{days}d')} / 10000" for days in (28, 84, 364)},
        "order_value_364d": "try_divide(spent_364d, orders_364d) / 10000",
        "typical_order_value": f"{own} / 10000",
        "returned_share_364d": most("try_divide(returned_units_364d, units_364d)"),
        "discount_share_364d": most("try_divide(discounts_364d, gross_364d)"),
        "discounted_share_364d": "try_divide(discounted_lines_364d, lines_364d)",
        "visit_recency_days": age("last_click"),
        "cart_rate_84d": "try_divide(carts_84d, views_84d)",
        "cart_rate_364d": "try_divide(carts_364d, views_364d)",
        "conversion_84d": f"try_divide({count('orders_84d')}, sessions_84d)",
        "offer_view_rate": a_session("offer_views"),
        "offer_click_rate": a_session("offer_clicks"),
        **{f"click_rate_{kind}": a_session(f"clicked_{kind}") for kind in OFFER_KINDS},
        "exposure_recency_days": age("last_sent"),
        "redemption_rate_364d": "try_divide(used_364d, exposures_364d)",
        "signs_364d": count("signs_364d"),
        "categories_364d": count("categories_364d"),
        **{name: name for name in as_they_are},
    }


def features_sql(task: Task) -> str:
    """The table `user_features` of the day."""
    steps = _visits(task) | _purchases(task) | _sendings(task) | _interests(task) | _everybody(task)
    columns = ", ".join(f"{formula} AS {name}" for name, formula in _formulas(task).items())
    joined = " ".join(
        f"LEFT JOIN {part} USING (user_id)"
        for part in ("people", "visits", "purchases", "sendings", "uses", "interests")
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
