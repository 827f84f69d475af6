"""The click log: visits on some days, with views, carts, searches, offers and content; and the visits of orders.

A visit has a fixed list of slots (what might happen in it); a draw by user, day and slot says which do happen. Browsing
follows habits, not traits, and never what was bought or sent before: rounds do not carry over.
"""

from __future__ import annotations

import math
from typing import Protocol

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.config import SimulateSettings
from offerlake.randomness import draw, exponential, uniform
from offerlake.simulate.calendar import DAY_MS, Calendar
from offerlake.simulate.catalogue import money, noun, per_category, pick, price_cents, product_id
from offerlake.simulate.offers import KINDS, OFFERS
from offerlake.simulate.traits import chosen_category, chosen_rank

MORE_VIEWS = 1.5
"""Mean of the Poisson number of views of a visit after the first; cut off at MOST_VIEWS."""
MOST_VIEWS = 6
CART_MIDDLE, CART_NEED = -2.0, 0.7
REMOVED = 0.2
SEARCHED = 0.3
CONTENT_MIDDLE, CONTENT_LIKING = -1.9, 0.8
OFFER_MIDDLE, OFFER_LIKING = -1.7, 2.0
OFFER_VIEWS, OFFER_AVERSION = 0.8, 0.8
"""Mean offers looked at without a click in a visit of a user of average aversion, and how aversion lowers it."""
VISIT_SPREAD = 0.5
ANONYMOUS, MIDWAY = 0.12, 0.18
"""Share of visits without a login, and with one after the visit has begun."""

_VIEW, _CART, _REMOVE, _SEARCH, _CONTENT, _CLICK, _OFFER = 0, 10, 20, 21, 22, 30, 40
_SLOTS = (
    *range(_VIEW, _VIEW + MOST_VIEWS), *range(_CART, _CART + MOST_VIEWS), _REMOVE, _SEARCH, _CONTENT,
    *range(_CLICK, _CLICK + len(KINDS)), *range(_OFFER, _OFFER + 4),
)  # fmt: skip
RAW = (
    "id", "user", "visitor", "session", "at_ms", "arrived_ms", "type", "product_id", "offer_id", "query", "price",
    "quantity", "channel", "device", "referrer",
)  # fmt: skip
"""Columns of the click frames; the two times are epoch milliseconds."""


class _Own(Protocol):
    def __call__(self, purpose: str, *keys: Column) -> Column: ...


def _logistic(x: Column) -> Column:
    return F.lit(1.0) / (F.lit(1.0) + F.exp(-x))


def visits(users: DataFrame, settings: SimulateSettings, calendar: Calendar) -> DataFrame:
    """The visits of people: at most one a day, on each day with the same chance, by the habit of visiting.

    Returns:
        number, user_id, day, visit_ms, login_ms (null: no login in the visit), the habits that browsing follows.
    """
    number, day = F.col("number"), F.col("day")

    def own(purpose: str) -> Column:
        return uniform(settings.seed, f"visit:{purpose}", number, day)

    daily = settings.visits / 14 * F.exp(F.lit(VISIT_SPREAD) * F.col("visit_habit") - VISIT_SPREAD**2 / 2)
    start = F.lit(calendar.start_ms) + day.cast("bigint") * DAY_MS + ((7 + 16 * own("hour")) * 3_600_000).cast("bigint")
    after = F.when(own("login") < ANONYMOUS + MIDWAY, (5_000 + own("login time") * 60_000).cast("bigint")).otherwise(0)
    return (
        users.where(~F.col("is_bot"))
        .select(
            "number", "user_id", "price_level", "browse", "liking_habit",
            (F.lit(1.0) - F.exp(-daily)).alias("chance"),
            _logistic(F.lit(CART_NEED) * F.col("need_habit") + CART_MIDDLE).alias("cart_chance"),
            (F.lit(OFFER_VIEWS) * F.exp(F.lit(-OFFER_AVERSION) * F.col("aversion_habit"))).alias("offer_views"),
            F.explode(F.sequence(F.lit(0), F.lit(calendar.days - 1))).alias("day"),
        )
        .where(own("come") < F.col("chance"))
        .withColumn("visit_ms", start)
        .withColumn("login_ms", F.when(own("login") >= ANONYMOUS, F.col("visit_ms") + after))
    )  # fmt: skip


def browsing(made: DataFrame, settings: SimulateSettings) -> DataFrame:
    """The events of `visits`: columns RAW."""
    seed, size = settings.seed, per_category(settings.products)
    number, day, slot = F.col("number"), F.col("day"), F.col("slot")

    def own(purpose: str, *keys: Column) -> Column:
        return uniform(seed, purpose, number, day, *keys)

    happened = _happens(own)
    place = slot % 10
    views = slot < _REMOVE
    of_product = slot <= _REMOVE
    seen = F.when(views, place).otherwise(0)
    frame = (
        made.select("*", F.explode(F.array(*[F.lit(s) for s in _SLOTS])).alias("slot"))
        .where(happened)
        .withColumn("category", chosen_category(F.col("browse"), own("view category", seen)))
        .withColumn("rank", chosen_rank(F.col("price_level"), own("view rank", seen), size))
        .withColumn(
            "at_ms",
            F.col("visit_ms")
            + F.when(
                of_product,
                15_000 + 45_000 * seen + own("view time", seen) * 30_000
                + F.when(slot == _REMOVE, 25_000).when(slot >= _CART, 12_000).otherwise(0),
            )
            .when(slot == _SEARCH, 3_000)
            .otherwise(8_000 + own("other time", slot) * 240_000)
            .cast("bigint"),
        )
    )  # fmt: skip
    kind = slot - _CLICK
    which = own("which offer", slot)
    any_offer = pick(tuple(offer.offer_id for offer in OFFERS), F.floor(which * len(OFFERS)))
    shown = F.when(slot >= _OFFER, any_offer).when(slot >= _CLICK, _offer_of(kind, which))
    kind_of_event = (
        F.when(slot < _CART, "pageview")
        .when(slot < _REMOVE, "add_to_cart")
        .when(slot == _REMOVE, "remove_from_cart")
        .when(slot == _SEARCH, "search")
        .when(slot == _CONTENT, "content_view")
        .when(slot < _OFFER, "offer_click")
        .otherwise("offer_impression")
    )
    logged_in = F.col("at_ms") >= F.col("login_ms")
    word = pick(("", "cheap ", "best ", "new "), F.floor(own("search words") * 4))
    return frame.select(
        _hex(draw(seed, "event", number, day, slot)).alias("id"),
        F.when(logged_in, F.col("user_id")).alias("user"),
        _visitor(seed, number).alias("visitor"),
        _hex(draw(seed, "session", number, day)).alias("session"),
        "at_ms",
        (F.col("at_ms") + _delay(seed, number, day, slot)).alias("arrived_ms"),
        kind_of_event.alias("type"),
        F.when(of_product, product_id(F.col("category"), F.col("rank"), size)).alias("product_id"),
        shown.alias("offer_id"),
        F.when(slot == _SEARCH, F.concat(word, noun(F.col("category"), F.col("rank"), seed))).alias("query"),
        F.when(of_product, money(price_cents(F.col("category"), F.col("rank"), size))).alias("price"),
        F.when(of_product & (slot >= _CART), 1).alias("quantity"),
        pick(("web", "web", "app"), F.floor(own("channel") * 3)).alias("channel"),
        pick(("mobile", "desktop"), F.floor(own("channel") * 2)).alias("device"),
        pick(("direct", "search", "email", "social"), F.floor(own("referrer") * 4)).alias("referrer"),
    )


def _happens(own: _Own) -> Column:
    """Whether a slot's event happens: one draw against the chance of its kind."""
    slot = F.col("slot")
    place = slot % 10
    term = math.exp(-MORE_VIEWS)
    reached = term
    views = F.lit(1)
    for count in range(1, MOST_VIEWS):
        views = views + (own("views") > reached).cast("int")
        term *= MORE_VIEWS / count
        reached += term
    in_cart = own("slot", F.lit(_CART)) < F.col("cart_chance")
    content = _logistic(F.lit(CONTENT_LIKING) * F.col("liking_habit")[KINDS.index("content")] + CONTENT_MIDDLE)
    liking = F.element_at("liking_habit", F.least(F.greatest(slot - _CLICK, F.lit(0)), F.lit(len(KINDS) - 1)) + 1)
    chance = (
        F.when(slot < _CART, F.lit(1.0))
        .when(slot < _REMOVE, F.col("cart_chance"))
        .when(slot == _REMOVE, REMOVED)
        .when(slot == _SEARCH, SEARCHED)
        .when(slot == _CONTENT, content)
        .when(slot < _OFFER, _logistic(F.lit(OFFER_LIKING) * liking + OFFER_MIDDLE))
        .otherwise(F.lit(1.0) - F.exp(-F.col("offer_views") / 4))
    )
    possible = F.when(slot < _REMOVE, place < views).when(slot == _REMOVE, in_cart).otherwise(F.lit(True))
    return possible & (own("slot", slot) < chance)


def purchases(lines: DataFrame, settings: SimulateSettings) -> DataFrame:
    """The visits in which orders are made: each line seen, put into the cart and bought, and one checkout.

    Args:
        lines: `orders.order_lines`; returns are left out.
        settings: Of the shop.

    Returns:
        Columns RAW.
    """
    seed, size = settings.seed, per_category(settings.products)
    number, step, line = F.col("number"), F.col("step"), F.col("line_id")
    steps = F.array(F.lit("pageview"), F.lit("add_to_cart"), F.lit("purchase"))
    # The checkout is the order's, so only its first line makes one.
    steps = F.when(line == "1", F.concat(steps, F.array(F.lit("checkout")))).otherwise(steps)
    before = (
        F.when(step == "pageview", 420_000)
        .when(step == "add_to_cart", 400_000)
        .when(step == "checkout", 30_000)
        .otherwise(0)
    )
    of_product = step != "checkout"
    at_ms = F.col("order_ms") - before + F.when(before > 30_000, 60_000 * line.cast("int")).otherwise(0)
    key = (number, F.col("order_id"), line, step)
    return (
        lines.where(F.col("quantity") > 0)
        .select("*", F.explode(steps).alias("step"))
        .select(
            _hex(draw(seed, "purchase event", *key)).alias("id"),
            F.col("user_id").alias("user"),
            _visitor(seed, number).alias("visitor"),
            _hex(draw(seed, "purchase session", F.col("order_id"))).alias("session"),
            at_ms.alias("at_ms"),
            (at_ms + _delay(seed, *key)).alias("arrived_ms"),
            step.alias("type"),
            F.when(of_product, product_id(F.col("category"), F.col("rank"), size)).alias("product_id"),
            F.when(step == "purchase", F.col("offer_id")).alias("offer_id"),
            F.lit(None).cast("string").alias("query"),
            F.when(of_product, money(price_cents(F.col("category"), F.col("rank"), size))).alias("price"),
            F.when(of_product & (step != "pageview"), F.col("quantity")).alias("quantity"),
            F.lit("web").alias("channel"),
            F.lit("desktop").alias("device"),
            F.lit("direct").alias("referrer"),
        )
    )


def _offer_of(kind: Column, by: Column) -> Column:
    """An offer of a kind, by a draw."""
    groups = [[o.offer_id for o in OFFERS if o.kind == name] for name in KINDS]
    values = F.element_at(F.array(*[F.array(*map(F.lit, group)) for group in groups]), kind + 1)
    return F.element_at(values, (F.floor(by * F.size(values)) + 1).cast("int"))


def _hex(number: Column) -> Column:
    return F.lpad(F.lower(F.hex(number)), 16, "0")


def _visitor(seed: int, number: Column) -> Column:
    return F.concat(F.lit("V"), F.substring(_hex(draw(seed, "browser", number)), 1, 12))


def _delay(seed: int, *key: Column) -> Column:
    """From event to arrival, milliseconds: 20 s on average; one in fifty was offline, for up to 6 hours."""
    quick = exponential(seed, "arrival", *key) * 20_000
    long = uniform(seed, "offline time", *key) * 21_600_000
    return (quick + F.when(uniform(seed, "offline", *key) < 0.02, long).otherwise(0.0)).cast("bigint")
