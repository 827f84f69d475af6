"""The work of clean_featurize.py in DuckDB: raw records to logs, quarantine and features, Parquet to Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import duckdb
from _duckdb_features import features_sql, profiles_sql
from _duckdb_parse import (
    MACROS,
    Cell,
    Check,
    amount,
    arrival,
    because,
    boolean,
    choice,
    first_wins,
    instant,
    money,
    number,
    refuse,
    text,
    typed,
    versions,
    whole,
)
from _peer import EVENT_TYPES, EVENT_WORDS, OFFER_KINDS, SCOPES, THREADS, Task, parse_task

_FEEDS = ("products", "users", "offers", "orders", "exposures", "redemptions", "clicks")


class Peer:
    """One database in memory, and what there is to do."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.clean = task.settings.clean
        self.base = duckdb.connect(config={"threads": THREADS, "preserve_insertion_order": False})
        self.base.execute("SET TimeZone = 'UTC'")
        self.base.execute(MACROS)

    def _typed(self, feed: str, cells: Sequence[Cell], checks: Sequence[Check] = ()) -> None:
        typed(self.base, feed, self.task.raw(feed), cells, checks, quote=self.task.settings.ingest.max_value_chars)

    def products(self) -> None:
        """Versions of products."""
        most = self.clean.max_money
        cells = [
            text("product_id").required(), instant("arrived_at").required(), text("name"),
            text("category", default="unknown"), text("brand"), money("price", 0, most), money("unit_cost", 0, most),
            text("description"),
        ]  # fmt: skip
        self._typed("products", cells)
        versions(self.base, "products", "product_id")

    def users(self) -> None:
        """Versions of users."""
        cells = [
            text("user_id").required(), instant("arrived_at").required(), instant("signup_time"), text("gender"),
            text("age_band"), text("region"), boolean("consent_marketing"), boolean("consent_profiling"),
            Cell("attributes", "raw.extra"),
        ]  # fmt: skip
        self._typed("users", cells)
        versions(self.base, "users", "user_id")

    def offers(self) -> None:
        """Versions of offers."""
        most = self.clean.max_money
        cells = [
            text("offer_id").required(), instant("arrived_at").required(), choice("kind", OFFER_KINDS),
            number("depth", 0, most).refuse("range", "kind = 'percent_off' AND depth > 1"), choice("scope", SCOPES),
            text("scope_values"), money("min_spend", 0, most), money("cost_per_redemption", 0, most), text("channels"),
            instant("valid_from").required(),
            instant("valid_to").required().refuse("range", "valid_to <= valid_from"),
            whole("max_redemptions", 0, 2**31 - 1),
        ]  # fmt: skip
        without = ("kind IN ('percent_off', 'amount_off') AND depth IS NULL", "missing:depth", None)
        self._typed("offers", cells, [without])
        versions(self.base, "offers", "offer_id")

    def clicks(self) -> None:
        """The click log: each event once, in sessions, without machines."""
        said = " ".join(f"WHEN '{theirs}' THEN '{ours}'" for theirs, ours in EVENT_WORDS.items())
        kind = f"CASE said(raw.event_type) {said} ELSE said(raw.event_type) END"
        cells = [
            text("event_id").required(), text("user_id"), text("anonymous_id"), instant("event_time").required(),
            arrival("event_time", self.clean.clock_skew_minutes), choice("event_type", EVENT_TYPES, kind),
            text("product_id"), text("offer_id"), text("query"), money("price", 0, self.clean.max_money),
            whole("quantity", 0, self.clean.max_quantity), text("channel"), text("device"), text("referrer"),
        ]  # fmt: skip
        nobody = ("user_id IS NULL AND anonymous_id IS NULL", "missing:user_id and anonymous_id", None)
        self._typed("clicks", cells, [nobody])
        first_wins(self.base, "clicks", "event_id")
        self._sessions()
        columns = ", ".join(cell.name for cell in cells if cell.name != "user_id")
        owned = "coalesce(user_id, owner) AS user_id"
        self.base.execute(
            "INSERT INTO clicks_refused SELECT reasons, to_json(click)::VARCHAR, source, source_position, loaded_at "
            f"FROM placed AS click JOIN sessions USING (session_id) WHERE score >= {self.clean.bot_score}"
        )
        self.base.execute(
            f"CREATE TEMP TABLE clicks AS SELECT {columns}, {owned}, session_id, event_time::DATE AS event_date, "
            "product_id IS NULL OR product_id IN (SELECT product_id FROM products_kept) AS known_product, "
            "coalesce(user_id, owner) IS NULL OR coalesce(user_id, owner) IN (SELECT user_id FROM users_kept) "
            f"AS known_user FROM placed JOIN sessions USING (session_id) WHERE score < {self.clean.bot_score}"
        )
        self.base.execute("DROP TABLE placed; DROP TABLE clicks_kept; DROP TABLE sessions")

    def _sessions(self) -> None:
        """Cuts each visitor's events by a pause, into `placed`; the sessions with owner and score into `sessions`."""
        clean = self.clean
        self.base.execute(
            "CREATE TEMP TABLE placed AS WITH seen AS ("
            "  SELECT *, coalesce('b:' || anonymous_id, 'u:' || user_id) AS visitor FROM clicks_kept"
            "), paused AS ("
            "  SELECT *, epoch_us(event_time) - lag(epoch_us(event_time)) OVER w AS pause FROM seen"
            "  WINDOW w AS (PARTITION BY visitor ORDER BY event_time, event_id)"
            "), opened AS ("
            f"  SELECT *, pause IS NULL OR pause > {clean.session_gap_minutes} * 60000000 AS opens FROM paused"
            "), numbered AS ("
            "  SELECT *, sum(opens::INTEGER) OVER w AS number FROM opened"
            "  WINDOW w AS (PARTITION BY visitor ORDER BY event_time, event_id ROWS UNBOUNDED PRECEDING)"
            ") SELECT * EXCLUDE (visitor, number, pause, opens), hash(visitor, number) AS session_id, "
            "CASE WHEN NOT opens THEN (pause // 1000)::DOUBLE END AS pause FROM numbered"
        )
        self.base.execute(
            "CREATE TEMP TABLE sessions AS WITH told AS ("
            "  SELECT session_id, count(*) AS events,"
            "    epoch_us(max(event_time)) - epoch_us(min(event_time)) AS micros,"
            "    count(pause) AS pauses, sum(pause) AS total, sum(pause * pause) AS squares,"
            "    arg_min(user_id, (event_time, event_id)) FILTER (user_id IS NOT NULL) AS owner,"
            f"    coalesce(bool_or(regexp_matches(lower(device), '{self.task.agents}')), false) AS marked"
            "  FROM placed GROUP BY session_id"
            "), measured AS ("
            f"  SELECT *, events >= {clean.bot_min_events} AS long,"
            "    try_divide((events - 1) * 60000000, micros) AS rate,"
            "    CASE WHEN pauses >= 2 THEN"
            "      sqrt(greatest(pauses * try_divide(squares, total * total) - 1, 0)) END AS spread,"
            "    micros / 3.6e9 AS hours FROM told"
            "), signs AS ("
            f"  SELECT *, CASE WHEN long THEN coalesce({_above('rate', clean.bot_events_per_minute)}, 1) END AS fast,"
            f"    CASE WHEN long THEN coalesce(1 - {_above('spread', clean.bot_pause_spread)}, 0) END AS even,"
            f"    CASE WHEN long THEN {_above('hours', clean.bot_hours)} END AS endless,"
            "    CASE WHEN marked THEN 1.0 END AS agent FROM measured"
            "), scored AS (SELECT *, 1 - (1 - coalesce(fast, 0)) * (1 - coalesce(even, 0)) * (1 - coalesce(endless, 0))"
            "    * (1 - coalesce(agent, 0)) AS score FROM signs)"
            " SELECT session_id, owner, score, list_filter(["
            "    'bot:score=' || round(score, 3),"
            "    CASE WHEN fast >= 0.1 THEN 'bot:rate=' || coalesce(round(rate, 1)::VARCHAR, 'inf') || '/min' END,"
            "    CASE WHEN even >= 0.1 THEN 'bot:pause_spread=' || round(spread, 3) END,"
            "    CASE WHEN endless >= 0.1 THEN 'bot:no_pause=' || round(hours, 1) || 'h' END,"
            "    CASE WHEN agent >= 0.1 THEN 'bot:agent=known' END"
            "  ], lambda reason: reason IS NOT NULL) AS reasons FROM scored"
        )

    def orders(self) -> None:
        """Order lines and returns: each line once, money checked."""
        most, units = self.clean.max_money, self.clean.max_quantity
        cells = [
            text("order_id").required(), text("line_id").required(), text("user_id").required(),
            text("product_id").required(), instant("order_time").required(),
            arrival("order_time", self.clean.clock_skew_minutes),
            whole("quantity", -units, units).required().refuse("range", "quantity = 0"),
            *_amounts(amount("unit_price", 0, most), amount("discount", 0, most), amount("net_amount", -most, most)),
            money("coupon_amount", 0, most), text("offer_id"),
        ]  # fmt: skip
        self._typed("orders", cells)
        first_wins(self.base, "orders", "order_id", "line_id")
        self.base.execute(
            "CREATE TEMP TABLE bought AS SELECT user_id, product_id, min(order_time) AS first FROM orders_kept "
            "WHERE quantity > 0 GROUP BY user_id, product_id"
        )
        never = (
            "quantity < 0 AND NOT EXISTS (SELECT 1 FROM bought WHERE bought.user_id = orders_kept.user_id "
            "AND bought.product_id = orders_kept.product_id AND bought.first <= orders_kept.order_time)"
        )
        said = because("return_without_purchase:product_id", "product_id", self.task.settings.ingest.max_value_chars)
        refuse(self.base, "orders", never, f"[{said}]")
        self.base.execute(
            "CREATE TEMP TABLE order_lines AS SELECT * EXCLUDE (source, source_position, loaded_at), "
            "order_time::DATE AS order_date, product_id IN (SELECT product_id FROM products_kept) AS known_product, "
            "user_id IN (SELECT user_id FROM users_kept) AS known_user FROM orders_kept"
        )

    def exposures(self) -> None:
        """What was shown to whom."""
        cells = [
            text("exposure_id").required(), text("assignment_id"), text("user_id").required(), text("offer_id"),
            instant("shown_at").required(), arrival("shown_at", self.clean.clock_skew_minutes), text("channel"),
            whole("position", 1, 10_000), number("propensity", 0, 1).refuse("range", "propensity <= 0"),
            text("policy").required(), text("run_id"),
        ]  # fmt: skip
        self._typed("exposures", cells)
        first_wins(self.base, "exposures", "exposure_id")
        self._refuse_unknown_offers("exposures")

    def redemptions(self) -> None:
        """Which offers were used."""
        cells = [
            text("redemption_id").required(), text("user_id").required(), text("offer_id").required(),
            text("coupon_id"), instant("redeemed_at").required(),
            arrival("redeemed_at", self.clean.clock_skew_minutes), text("order_id"),
            money("value", 0, self.clean.max_money),
        ]  # fmt: skip
        self._typed("redemptions", cells)
        first_wins(self.base, "redemptions", "redemption_id")
        self._refuse_unknown_offers("redemptions")

    def _refuse_unknown_offers(self, feed: str) -> None:
        reason = because("unknown:offer_id", "offer_id", self.task.settings.ingest.max_value_chars)
        refuse(self.base, feed, "offer_id NOT IN (SELECT offer_id FROM offers_kept)", f"[{reason}]")

    def write(self, table: str, query: str) -> None:
        """Writes a table's file."""
        self.base.execute(f"COPY ({query}) TO '{self.task.out}/{table}.parquet' (FORMAT parquet, COMPRESSION snappy)")

    def write_silver(self) -> None:
        """Writes the logs, the versions and the quarantine."""
        for table in ("clicks", "order_lines"):
            self.write(table, f"SELECT * EXCLUDE (known_user) FROM {table}")
        for feed in ("products", "users", "offers", "exposures", "redemptions"):
            self.write(feed, f"SELECT * EXCLUDE (source, source_position, loaded_at) FROM {feed}_kept")
        every = " UNION ALL ".join(
            f"SELECT hash('{feed}', source, source_position) AS record_id, '{feed}' AS feed, 'clean_{feed}' AS job, "
            f"reasons, record, source, source_position, loaded_at, loaded_at::DATE AS loaded_date FROM {feed}_refused"
            for feed in _FEEDS
        )
        self.write("quarantine", every)

    def counts(self, feed: str) -> dict[str, int]:
        """What became of a feed's records."""
        kept = {"clicks": "clicks", "orders": "order_lines"}.get(feed, f"{feed}_kept")
        (good,), (same,) = (
            self.base.execute(f"SELECT count(*) FROM {rows}").fetchall()[0]
            for rows in (kept, f"{feed}_others WHERE same")
        )
        codes = self.base.execute(
            f"SELECT split_part(reasons[1], ':', 1), count(*) FROM {feed}_refused GROUP BY 1"
        ).fetchall()
        refused = sum(number for _, number in codes)
        found = {"rows_in": good + same + refused, "rows_out": good, "duplicates": same, "quarantined": refused}
        found |= {f"quarantined.{code}": number for code, number in codes}
        if kept != f"{feed}_kept":
            told = "count(*) FILTER (NOT known_user), count(*) FILTER (NOT known_product)"
            unknown = self.base.execute(f"SELECT {told} FROM {kept}").fetchall()[0]
            found |= dict(zip(("unknown_users", "unknown_products"), unknown, strict=True))
        return found


def _above(x: str, limit: float) -> str:
    return f"(1 - pow(2.0, -pow({x} / {limit}, 4)))"


def _amounts(price: Cell, discount: Cell, net: Cell) -> tuple[Cell, Cell, Cell]:
    """Works out the price or the net amount from the other one, where one is missing."""
    units = "abs(whole(raw.quantity))::BIGINT"
    sign = "sign(whole(raw.quantity))::INTEGER"
    off = f"coalesce({discount.value}, 0)"
    paid = f"((abs({net.value}) + {off}) * 10000)::BIGINT"
    full_net = f"coalesce({net.value}, {sign} * ({units} * {price.value} - {off}))::DECIMAL(18, 4)"
    half_up = f"CASE WHEN {units} > 0 THEN ((2 * {paid} + {units}) // (2 * {units})) * 0.0001 END"
    full_price = f"coalesce({price.value}, {half_up})::DECIMAL(18, 4)"
    turned = "sign(quantity) * sign(net_amount) < 0"
    neither = ("said(raw.unit_price) IS NULL AND said(raw.net_amount) IS NULL", "missing:unit_price", None)
    return (
        replace(price, value=full_price, checks=(*price.checks, neither)),
        replace(discount, value=off),
        replace(net, value=full_net).refuse("range", turned, "net_amount"),
    )


def main() -> None:
    """Cleans all feeds, writes what came of it, and builds the features."""
    task = parse_task()
    peer = Peer(task)
    for feed in _FEEDS:
        getattr(peer, feed)()
    peer.write_silver()
    task.write_counts({feed: peer.counts(feed) for feed in _FEEDS})
    peer.write("user_features", features_sql(task))
    peer.write("user_profiles", profiles_sql(task))


if __name__ == "__main__":
    main()
