"""The logs of a shop as raw records: clicks, orders, offers sent and redemptions."""

from __future__ import annotations

from _raw_records import (
    DAY,
    HOUR,
    MINUTE,
    OFFERS,
    PRODUCTS,
    SPAN,
    UNKNOWN,
    Dirt,
    arrived,
    cents,
    chance,
    draw,
    money,
    named,
    records,
    twice,
    unit,
)
from _silver import HISTORY_DAYS
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

_LONG, _SHORT = 40, 5  # events of a session; a long one and twelve short ones are a block of a hundred events
_A_BLOCK = 1 + (100 - _LONG) // _SHORT  # sessions
_AN_ORDER = 2  # lines
_A_USER = 6  # exposures
_TYPES = ("pageview", "pageview", "add_to_cart", "search", "pageview", "offer_impression", "offer_click", "pageview",
          "remove_from_cart", "content_view")  # fmt: skip
_CHANNELS = ("email", "email", "app", "Push", "sms", "")  # an empty one says nothing
_KEPT_BACK = 0.02  # share of orders


def clicks(spark: SparkSession, rows: int, users: int) -> DataFrame:
    """Blocks of a hundred events, a long session and short ones; some long ones are a machine's, fast or endless."""
    key, within = F.col("id"), F.col("id") % 100
    block = F.floor(key / 100)
    in_long = within < _LONG
    session = block * _A_BLOCK + F.when(in_long, 0).otherwise(F.floor((within - _LONG) / _SHORT) + 1)
    place = F.when(in_long, within).otherwise((within - _LONG) % _SHORT)
    fast, endless = in_long & chance("fast", 0.02, block), in_long & chance("endless", 0.01, block)
    step = F.when(fast, 1_000).when(endless, 15 * MINUTE).otherwise(MINUTE)
    uneven = F.when(fast, 0).when(endless, 5 * MINUTE).otherwise(50_000)
    sessions = (rows // 100 + 1) * _A_BLOCK
    told = spark.range(rows).select(
        key,
        session.alias("session"),
        place.alias("place"),
        (fast | endless).alias("machine"),
        (_start(session, sessions) + place * step + F.floor(unit("pause", key) * uneven)).alias("at"),
        F.element_at(F.lit([*_TYPES]), (draw("type", len(_TYPES), key) + 1).cast("int")).alias("event_type"),
        _product("seen").alias("product"),
        unit("login", session).alias("login"),
        draw("visitor", users, session).alias("visitor"),
    )
    own, stranger = named("b", F.col("visitor")), named("b-", draw("browser", 10 * users, F.col("session")))
    borrowed = named("b", draw("borrowed", users, F.col("session")))
    # More than half are known from the first click on, some log in later, some never; an app has no browser.
    known = ~F.col("machine") & ((F.col("login") < 0.55) | (F.col("login").between(0.55, 0.75) & (F.col("place") > 1)))
    in_app = ~F.col("machine") & (F.col("login") > 0.9)
    nobody = F.when(chance("at home", 0.5, F.col("session")), own).otherwise(stranger)
    browser = F.when(chance("borrows", 0.02, F.col("session")), borrowed).otherwise(own)
    user = F.when(chance("ghost", 0.001, F.col("session")), named("ghost", F.col("visitor")))
    of_offer, of_product = F.col("event_type").startswith("offer"), ~F.col("event_type").isin("search", "content_view")
    seen = F.when(~of_offer & of_product, F.col("product"))
    made = told.select(
        key,
        named("e", key).alias("event_id"),
        F.when(known | in_app, user.otherwise(named("u", F.col("visitor")))).alias("user_id"),
        F.when(F.col("machine"), named("m", F.col("session")))
        .when(F.col("login").between(0.75, 0.9), nobody)
        .when(~in_app, browser)
        .alias("anonymous_id"),
        F.col("at").alias("event_time"),
        arrived("clicks", F.col("at")).alias("arrived_at"),
        "event_type",
        seen.alias("product_id"),
        F.when(of_offer, named("o", draw("offer", OFFERS, key))).alias("offer_id"),
        F.when(F.col("event_type") == "search", named("word ", draw("query", 1_000, key))).alias("query"),
        F.when(seen.isNotNull(), money(cents(F.col("product")))).alias("price"),
        F.when(F.col("event_type") == "add_to_cart", F.lit("1")).alias("quantity"),
        F.when(in_app & (F.col("visitor") % 2 == 0), "iOS").when(in_app, "app").otherwise("web").alias("channel"),
        F.when(chance("agent", 0.002, F.col("session")), "Mozilla/5.0 (compatible; Somebot/2.1)")
        .when(F.col("visitor") % 3 == 0, "mobile ")
        .otherwise("desktop")
        .alias("device"),
        F.when((F.col("place") == 0) & chance("led", 0.3, key), "https://search.example/").alias("referrer"),
    )
    dirt = Dirt(
        changed={"event_type": F.lit("checkout")},
        broken={"event_time": "yesterday", "price": "12,9x"},
        blank="event_id",
    )
    return records("clicks", made, dirt)


def _start(key: Column, of: int) -> Column:
    """Milliseconds since the history began: logs come by time, the first key first, with some hours of disorder."""
    return F.floor(key / of * (SPAN - DAY)) + draw("start", DAY, key)


def _product(purpose: str) -> Column:
    """Some products are wanted far more than others, and a few are in no catalogue."""
    key = F.col("id")
    wanted = F.floor(F.pow(unit(purpose, key), F.lit(2.0)) * PRODUCTS)
    return F.when(chance(f"unknown {purpose}", UNKNOWN, key), named("gone", wanted)).otherwise(named("p", wanted))


def orders(spark: SparkSession, rows: int, users: int) -> DataFrame:
    """Two lines an order; some are sent back, few of which were never bought, and few are a company's.

    Some orders are kept back for up to two months: a user's orders become known in another order.
    """
    key = F.col("id")
    order = F.floor(key / _AN_ORDER)
    told = spark.range(rows).select(
        key,
        order.alias("order"),
        F.when(chance("company", 0.001, key), 400).otherwise(draw("units", 3, key) + 1).alias("units"),
        _product("bought").alias("product"),
        _start(order, rows // _AN_ORDER + 1).alias("at"),
    )
    gross = cents(F.col("product")) * F.col("units")
    off = F.when(chance("discount", 0.3, key), F.floor(gross * draw("rate", 30, key) / 100)).otherwise(0)
    both = twice(told.withColumns({"gross": gross, "off": off}), rows, "returned", share=0.03)
    returned = F.col("returned")
    sign = F.when(returned, -1).otherwise(1)
    at = F.col("at") + F.when(returned, 5 * DAY).otherwise(0)
    never = returned & chance("never bought", 0.03, key)
    kept_back = F.when(chance("kept back", _KEPT_BACK, F.col("order")), draw("kept", 60 * DAY, F.col("order")))
    made = both.select(
        key,
        F.concat(named("t", F.col("order")), F.when(returned, "-return").otherwise("")).alias("order_id"),
        (F.col("of") % _AN_ORDER).alias("line_id"),
        named("u", _buyer(F.col("order"), rows // _AN_ORDER + 1, users)).alias("user_id"),
        F.when(never, _product("another")).otherwise(F.col("product")).alias("product_id"),
        at.alias("order_time"),
        (arrived("orders", at) + F.coalesce(kept_back, F.lit(0))).alias("arrived_at"),
        (sign * F.col("units")).alias("quantity"),
        F.when(~chance("no price", 0.05, key), money(cents(F.col("product")))).alias("unit_price"),
        F.when(F.col("off") > 0, money(F.col("off"))).alias("discount"),
        # Where there is no price there is an amount.
        F.when(
            ~chance("no amount", 0.1, key) | chance("no price", 0.05, key),
            money(sign * (F.col("gross") - F.col("off"))),
        ).alias("net_amount"),
        F.when(chance("coupon", 0.05, key), "1.50").alias("coupon_amount"),
        F.when(chance("offered", 0.05, key), named("o", draw("offered", OFFERS, key))).alias("offer_id"),
    )
    dirt = Dirt(
        changed={"quantity": F.lit("7"), "net_amount": F.lit(None).cast("string")},
        broken={"order_time": "31/31/2025", "net_amount": "n/a", "quantity": "0"},
        blank="product_id",
    )
    return records("orders", made, dirt)


def _buyer(order: Column, of: int, users: int) -> Column:
    """Customers come and go: half of the users buy at a time, the first ones first; the last tenth never does."""
    buyers = 0.9 * users
    return F.floor((order / of + unit("buyer", order)) * buyers / 2)


def exposures(spark: SparkSession, users: int) -> DataFrame:
    """Offers sent at ten in the morning, on several channels; in one of five cases none is."""
    key = F.col("id")
    shown = _shown(key)
    made = spark.range(users * _A_USER).select(
        key,
        named("x", key).alias("exposure_id"),
        named("u", key % users).alias("user_id"),
        F.when(~chance("control", 0.2, key), _sent(key)).alias("offer_id"),
        shown.alias("shown_at"),
        arrived("exposures", shown).alias("arrived_at"),
        F.element_at(F.lit([*_CHANNELS]), (draw("channel", len(_CHANNELS), key) + 1).cast("int")).alias("channel"),
        F.lit(1).alias("position"),
        F.lit("0.05").alias("propensity"),
        F.lit("experiment").alias("policy"),
    )
    dirt = Dirt(changed={"channel": F.lit("mail")}, broken={"shown_at": "soon", "propensity": "often"})
    return records("exposures", made, dirt)


def _shown(key: Column) -> Column:
    return draw("shown", HISTORY_DAYS, key) * DAY + 10 * HOUR


def _sent(key: Column) -> Column:
    """An offer, the first one more often than any other; some are in no catalogue."""
    number = F.when(chance("first", 0.3, key), 0).otherwise(draw("sent", OFFERS, key))
    return F.when(chance("unknown offer", UNKNOWN, key), F.lit("gone")).otherwise(named("o", number))


def redemptions(spark: SparkSession, users: int) -> DataFrame:
    """One in ten of the offers sent is used, some of them too late."""
    key = F.col("id")
    used = _shown(key) + draw("after", 20 * DAY, key)
    made = spark.range(users * _A_USER).where(chance("used", 0.1, key)).select(
        key,
        named("r", key).alias("redemption_id"),
        named("u", key % users).alias("user_id"),
        _sent(key).alias("offer_id"),
        used.alias("redeemed_at"),
        arrived("redemptions", used).alias("arrived_at"),
        F.lit("2.00").alias("value"),
    )  # fmt: skip
    dirt = Dirt(changed={"value": F.lit("3.00")}, broken={"redeemed_at": "then", "value": "free"})
    return records("redemptions", made, dirt)
