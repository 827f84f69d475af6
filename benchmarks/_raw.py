"""Raw records of any size, drawn by key: what a shop's logs look like before anybody has cleaned them.

They are written as what `ingest` makes of files: the tables of bronze, Parquet of strings. Known dirt is in them: the
same record twice, other content under the same key, times and numbers that are none, products and users that nobody
knows, machines that click, returns of what was never bought, clocks that are wrong, and arrivals two days late.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta

from _silver import AS_OF, HISTORY_DAYS
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.randomness import uniform
from offerlake.schemas import table
from offerlake.schemas.bronze import FEEDS
from offerlake.schemas.silver import OFFER_KINDS
from offerlake.tables import Lake

CLICKS_A_USER = 100
_LONG, _SHORT = 40, 5  # events of a session; a long one and twelve short ones are a block of a hundred events
_A_BLOCK = 1 + (100 - _LONG) // _SHORT  # sessions
_AN_ORDER = 2  # lines
_A_USER = 6  # exposures
_A_FILE = 1_000_000  # records
_PRODUCTS, _CATEGORIES, _BRANDS, _OFFERS = 20_000, 12, 200, 2 * len(OFFER_KINDS)
_SEED = 1
_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000  # milliseconds
_SPAN = HISTORY_DAYS * _DAY
_TIMES = (
    "arrived_at", "event_time", "order_time", "redeemed_at", "shown_at", "signup_time", "valid_from", "valid_to",
)  # fmt: skip
_TYPES = ("pageview", "pageview", "add_to_cart", "search", "pageview", "offer_impression", "offer_click", "pageview",
          "remove_from_cart", "content_view")  # fmt: skip
# Shares of records.
_AGAIN, _CHANGED, _BROKEN, _UNKNOWN, _LATE, _SKEWED, _BLANK = 0.01, 0.001, 0.0025, 0.005, 0.01, 0.0005, 0.0001


@dataclass(frozen=True)
class _Dirt:
    """What is wrong with some records of a feed.

    Attributes:
        changed: Column to what a record says that comes again with other content.
        broken: Column to a text that cannot be read.
        blank: A column that some records lack; empty: none.
    """

    changed: Mapping[str, Column] = field(default_factory=dict)
    broken: Mapping[str, str] = field(default_factory=dict)
    blank: str = ""


def write_raw(spark: SparkSession, root: str, *, clicks: int, order_lines: int) -> None:
    """Writes bronze of a lake that has none.

    Args:
        spark: The session.
        root: The lake.
        clicks: Events; one in CLICKS_A_USER is the number of users.
        order_lines: Bought lines; returns come on top, and so do copies in all feeds.
    """
    users = max(1, clicks // CLICKS_A_USER)
    made: dict[str, Callable[[], DataFrame]] = {
        "clicks": lambda: _clicks(spark, clicks, users),
        "orders": lambda: _orders(spark, order_lines, users),
        "exposures": lambda: _exposures(spark, users),
        "redemptions": lambda: _redemptions(spark, users),
        "products": lambda: _products(spark),
        "users": lambda: _users(spark, users),
        "offers": lambda: _offers(spark),
    }
    lake = Lake(spark, root)
    for feed, make in made.items():
        lake.write(f"raw_{feed}", make())


def _draw(purpose: str, most: int, *key: Column) -> Column:
    """A number from 0 to most − 1."""
    return F.floor(uniform(_SEED, purpose, *key) * most)


def _chance(purpose: str, share: float, *key: Column) -> Column:
    return uniform(_SEED, purpose, *key) < share


def _id(letter: str, number: Column) -> Column:
    return F.concat(F.lit(letter), number.cast("string"))


def _start(key: Column, of: int) -> Column:
    """Milliseconds since the history began: logs come by time, the first key first, with some hours of disorder."""
    return F.floor(key / of * (_SPAN - _DAY)) + _draw("start", _DAY, key)


def _arrived(purpose: str, happened: Column) -> Column:
    """Within two minutes; of some two days later, and of few hours before they happened."""
    key = F.col("id")
    late = F.when(_chance(f"late {purpose}", _LATE, key), 2 * _DAY)
    skewed = late.when(_chance(f"skewed {purpose}", _SKEWED, key), -5 * _HOUR)
    return happened + skewed.otherwise(_draw(f"way {purpose}", 2 * _MINUTE, key))


def _product(purpose: str) -> Column:
    """Some products are wanted far more than others, and a few are in no catalogue."""
    key = F.col("id")
    wanted = F.floor(F.pow(uniform(_SEED, purpose, key), F.lit(2.0)) * _PRODUCTS)
    return F.when(_chance(f"unknown {purpose}", _UNKNOWN, key), _id("gone", wanted)).otherwise(_id("p", wanted))


def _cents(product: Column) -> Column:
    """The price list's."""
    return _draw("price", 5_000, product) + 100


def _money(cents: Column) -> Column:
    return (cents / 100).cast("decimal(18,2)").cast("string")


def _records(feed: str, frame: DataFrame, dirt: _Dirt | None = None) -> DataFrame:
    """Adds copies and dirt, and where each record came from.

    Args:
        feed: The feed.
        frame: `id` (bigint, unique) and columns of the feed; times as milliseconds since the history began.
        dirt: What is wrong with some of them; None: nothing.
    """
    key = F.col("id")
    copies = [F.lit("own")]
    if dirt is not None:
        copies += [
            F.when(_chance(f"again {feed}", _AGAIN, key), "again"),
            F.when(_chance(f"changed {feed}", _CHANGED, key), "changed"),
        ]
    spread = frame.withColumn("copy", F.explode(F.array_compact(F.array(*copies))))
    number = F.array_position(F.lit(["own", "again", "changed"]), F.col("copy"))
    columns = {name: _said(feed, name, dirt or _Dirt()) for name in frame.columns if name in FEEDS[feed]}
    nothing = {name: F.lit(None) for name in FEEDS[feed] if name not in columns}
    extra = F.create_map(F.lit("newsletter"), F.lit("yes")) if feed == "users" else F.create_map()
    return table(f"raw_{feed}").select(
        spread.select(
            *[column.alias(name) for name, column in (columns | nothing).items()],
            extra.cast("map<string,string>").alias("extra"),
            F.format_string(f"{feed}/%04d.parquet", F.floor(key / _A_FILE)).alias("source"),
            (key % _A_FILE * 3 + number).alias("source_position"),
            F.lit(datetime.combine(AS_OF + timedelta(days=4), time(), UTC)).alias("loaded_at"),
            F.lit(AS_OF + timedelta(days=4)).alias("loaded_date"),
        )
    )


def _said(feed: str, name: str, dirt: _Dirt) -> Column:
    """A column as text, as it comes."""
    key, value = F.col("id"), F.col(name)
    if name == "arrived_at":  # the second time a record comes an hour later
        value = value + F.when(F.col("copy") == "again", _HOUR).otherwise(0)
    text = _iso(value) if name in _TIMES else value.cast("string")
    if name in dirt.changed:
        text = F.when(F.col("copy") == "changed", dirt.changed[name]).otherwise(text)
    if name in dirt.broken:
        text = F.when(_chance(f"broken {feed} {name}", _BROKEN, key), F.lit(dirt.broken[name])).otherwise(text)
    if name == dirt.blank:
        text = F.when(_chance(f"blank {feed}", _BLANK, key), F.lit(" ")).otherwise(text)
    return text


def _iso(milliseconds: Column) -> Column:
    begin = datetime.combine(AS_OF - timedelta(days=HISTORY_DAYS), time(), UTC)
    moment = F.timestamp_millis(F.lit(int(begin.timestamp()) * 1000) + milliseconds.cast("bigint"))
    return F.date_format(moment, "yyyy-MM-dd'T'HH:mm:ss.SSS'Z'")


def _clicks(spark: SparkSession, rows: int, users: int) -> DataFrame:
    """Blocks of a hundred events, a long session and short ones; some long ones are a machine's, fast or endless."""
    key, within = F.col("id"), F.col("id") % 100
    block = F.floor(key / 100)
    in_long = within < _LONG
    session = block * _A_BLOCK + F.when(in_long, 0).otherwise(F.floor((within - _LONG) / _SHORT) + 1)
    place = F.when(in_long, within).otherwise((within - _LONG) % _SHORT)
    fast, endless = in_long & _chance("fast", 0.02, block), in_long & _chance("endless", 0.01, block)
    step = F.when(fast, 1_000).when(endless, 15 * _MINUTE).otherwise(_MINUTE)
    uneven = F.when(fast, 0).when(endless, 5 * _MINUTE).otherwise(50_000)
    sessions = (rows // 100 + 1) * _A_BLOCK
    told = spark.range(rows).select(
        key,
        session.alias("session"),
        place.alias("place"),
        (fast | endless).alias("machine"),
        (_start(session, sessions) + place * step + F.floor(uniform(_SEED, "pause", key) * uneven)).alias("at"),
        F.element_at(F.lit([*_TYPES]), (_draw("type", len(_TYPES), key) + 1).cast("int")).alias("event_type"),
        _product("seen").alias("product"),
        uniform(_SEED, "login", session).alias("login"),
        _draw("visitor", users, session).alias("visitor"),
    )
    own, stranger = _id("b", F.col("visitor")), _id("b-", _draw("browser", 10 * users, F.col("session")))
    borrowed = _id("b", _draw("borrowed", users, F.col("session")))
    # More than half are known from the first click on, some log in later, some never; an app has no browser.
    known = ~F.col("machine") & ((F.col("login") < 0.55) | (F.col("login").between(0.55, 0.75) & (F.col("place") > 1)))
    in_app = ~F.col("machine") & (F.col("login") > 0.9)
    nobody = F.when(_chance("at home", 0.5, F.col("session")), own).otherwise(stranger)
    browser = F.when(_chance("borrows", 0.02, F.col("session")), borrowed).otherwise(own)
    user = F.when(_chance("ghost", 0.001, F.col("session")), _id("ghost", F.col("visitor")))
    of_offer, of_product = F.col("event_type").startswith("offer"), ~F.col("event_type").isin("search", "content_view")
    seen = F.when(~of_offer & of_product, F.col("product"))
    made = told.select(
        key,
        _id("e", key).alias("event_id"),
        F.when(known | in_app, user.otherwise(_id("u", F.col("visitor")))).alias("user_id"),
        F.when(F.col("machine"), _id("m", F.col("session")))
        .when(F.col("login").between(0.75, 0.9), nobody)
        .when(~in_app, browser)
        .alias("anonymous_id"),
        F.col("at").alias("event_time"),
        _arrived("clicks", F.col("at")).alias("arrived_at"),
        "event_type",
        seen.alias("product_id"),
        F.when(of_offer, _id("o", _draw("offer", _OFFERS, key))).alias("offer_id"),
        F.when(F.col("event_type") == "search", _id("word ", _draw("query", 1_000, key))).alias("query"),
        F.when(seen.isNotNull(), _money(_cents(F.col("product")))).alias("price"),
        F.when(F.col("event_type") == "add_to_cart", F.lit("1")).alias("quantity"),
        F.when(in_app, "app").otherwise("web").alias("channel"),
        F.when(_chance("agent", 0.002, F.col("session")), "Mozilla/5.0 (compatible; Somebot/2.1)")
        .when(F.col("visitor") % 3 == 0, "mobile ")
        .otherwise("desktop")
        .alias("device"),
        F.when((F.col("place") == 0) & _chance("led", 0.3, key), "https://search.example/").alias("referrer"),
    )
    dirt = _Dirt(
        changed={"event_type": F.lit("checkout")},
        broken={"event_time": "yesterday", "price": "12,9x"},
        blank="event_id",
    )
    return _records("clicks", made, dirt)


def _twice(frame: DataFrame, rows: int, flag: str, *, share: float) -> DataFrame:
    """Some rows again, with an id of their own, where the boolean `flag` is true."""
    both = F.array_compact(F.array(F.lit(False), F.when(_chance(flag, share, F.col("id")), F.lit(True))))
    twice = frame.withColumn(flag, F.explode(both))
    return twice.withColumns({"of": F.col("id"), "id": F.col("id") + F.when(F.col(flag), rows).otherwise(0)})


def _orders(spark: SparkSession, rows: int, users: int) -> DataFrame:
    """Two lines an order; some are sent back, few of which were never bought, and few are a company's."""
    key = F.col("id")
    order = F.floor(key / _AN_ORDER)
    told = spark.range(rows).select(
        key,
        order.alias("order"),
        F.when(_chance("company", 0.001, key), 400).otherwise(_draw("units", 3, key) + 1).alias("units"),
        _product("bought").alias("product"),
        _start(order, rows // _AN_ORDER + 1).alias("at"),
    )
    gross = _cents(F.col("product")) * F.col("units")
    off = F.when(_chance("discount", 0.3, key), F.floor(gross * _draw("rate", 30, key) / 100)).otherwise(0)
    both = _twice(told.withColumns({"gross": gross, "off": off}), rows, "returned", share=0.03)
    returned = F.col("returned")
    sign = F.when(returned, -1).otherwise(1)
    at = F.col("at") + F.when(returned, 5 * _DAY).otherwise(0)
    never = returned & _chance("never bought", 0.03, key)
    made = both.select(
        key,
        F.concat(_id("t", F.col("order")), F.when(returned, "-return").otherwise("")).alias("order_id"),
        (F.col("of") % _AN_ORDER).alias("line_id"),
        _id("u", _draw("buyer", users, F.col("order"))).alias("user_id"),
        F.when(never, _product("another")).otherwise(F.col("product")).alias("product_id"),
        at.alias("order_time"),
        _arrived("orders", at).alias("arrived_at"),
        (sign * F.col("units")).alias("quantity"),
        F.when(~_chance("no price", 0.05, key), _money(_cents(F.col("product")))).alias("unit_price"),
        F.when(F.col("off") > 0, _money(F.col("off"))).alias("discount"),
        # Where there is no price there is an amount.
        F.when(
            ~_chance("no amount", 0.1, key) | _chance("no price", 0.05, key),
            _money(sign * (F.col("gross") - F.col("off"))),
        ).alias("net_amount"),
        F.when(_chance("coupon", 0.05, key), "1.50").alias("coupon_amount"),
        F.when(_chance("offered", 0.05, key), _id("o", _draw("offered", _OFFERS, key))).alias("offer_id"),
    )
    dirt = _Dirt(
        changed={"quantity": F.lit("7"), "net_amount": F.lit(None).cast("string")},
        broken={"order_time": "31/31/2025", "net_amount": "n/a", "quantity": "0"},
        blank="product_id",
    )
    return _records("orders", made, dirt)


def _exposures(spark: SparkSession, users: int) -> DataFrame:
    key = F.col("id")
    shown = _shown(key)
    made = spark.range(users * _A_USER).select(
        key,
        _id("x", key).alias("exposure_id"),
        _id("u", key % users).alias("user_id"),
        F.when(~_chance("control", 0.2, key), _sent(key)).alias("offer_id"),
        shown.alias("shown_at"),
        _arrived("exposures", shown).alias("arrived_at"),
        F.lit("email").alias("channel"),
        F.lit(1).alias("position"),
        F.lit("0.05").alias("propensity"),
        F.lit("experiment").alias("policy"),
    )
    dirt = _Dirt(changed={"channel": F.lit("sms")}, broken={"shown_at": "soon", "propensity": "often"})
    return _records("exposures", made, dirt)


def _shown(key: Column) -> Column:
    return _draw("shown", HISTORY_DAYS, key) * _DAY + 10 * _HOUR


def _sent(key: Column) -> Column:
    """Some offers are in no catalogue."""
    return F.when(_chance("unknown offer", _UNKNOWN, key), F.lit("gone")).otherwise(
        _id("o", _draw("sent", _OFFERS, key))
    )


def _redemptions(spark: SparkSession, users: int) -> DataFrame:
    """One in ten of the offers sent is used, some of them too late."""
    key = F.col("id")
    used = _shown(key) + _draw("after", 20 * _DAY, key)
    made = spark.range(users * _A_USER).where(_chance("used", 0.1, key)).select(
        key,
        _id("r", key).alias("redemption_id"),
        _id("u", key % users).alias("user_id"),
        _sent(key).alias("offer_id"),
        used.alias("redeemed_at"),
        _arrived("redemptions", used).alias("arrived_at"),
        F.lit("2.00").alias("value"),
    )  # fmt: skip
    dirt = _Dirt(changed={"value": F.lit("3.00")}, broken={"redeemed_at": "then", "value": "free"})
    return _records("redemptions", made, dirt)


def _products(spark: SparkSession) -> DataFrame:
    """The catalogue; one in ten products changes its category and its price one day."""
    both = _twice(spark.range(_PRODUCTS), _PRODUCTS, "moved", share=0.1)
    key, of = F.col("id"), F.col("of")
    cents = F.when(F.col("moved"), _draw("new price", 5_000, of) + 100).otherwise(_cents(_id("p", of)))
    category = _id("Category ", _draw("category", _CATEGORIES, key))
    made = both.select(
        key,
        _id("p", of).alias("product_id"),
        F.when(F.col("moved"), _draw("moved at", _SPAN, of)).otherwise(-_DAY).alias("arrived_at"),
        _id("Product ", of).alias("name"),
        F.concat_ws(" > ", category, _id("Shelf ", _draw("shelf", 20, key))).alias("category"),
        F.when(~_chance("no brand", 0.05, of), _id("Brand ", _draw("brand", _BRANDS, of))).alias("brand"),
        _money(cents).alias("price"),
        _money(F.floor(cents * 0.6)).alias("unit_cost"),
        _id("What there is to say of the product with the number ", of).alias("description"),
    )
    dirt = _Dirt(changed={"price": F.lit("9.99")}, broken={"price": "ask us"})
    return _records("products", made, dirt)


def _users(spark: SparkSession, users: int) -> DataFrame:
    """Those who sign up, some before the history begins and few after it; one in ten moves one day."""
    both = _twice(spark.range(users), users, "moved", share=0.1)
    key, of = F.col("id"), F.col("of")
    signup = _draw("signup", _SPAN + 60 * _DAY, of) - 50 * _DAY
    bands, genders = F.lit(["18-24", "25-34", "35-49", "50-64", "65+"]), F.lit(["f", "m", "d"])
    made = both.select(
        key,
        _id("u", of).alias("user_id"),
        (signup + F.when(F.col("moved"), _draw("moved at", 100 * _DAY, of)).otherwise(0)).alias("arrived_at"),
        signup.alias("signup_time"),
        F.element_at(genders, (_draw("gender", 3, of) + 1).cast("int")).alias("gender"),
        F.when(~_chance("no age", 0.2, of), F.element_at(bands, (_draw("age", 5, of) + 1).cast("int"))).alias(
            "age_band"
        ),
        _id("Region ", _draw("region", 16, key)).alias("region"),
        F.when(~_chance("silent", 0.1, of), _chance("consent", 0.8, of)).alias("consent_marketing"),
        F.lit("yes").alias("consent_profiling"),
    )
    return _records("users", made, _Dirt(changed={"region": F.lit("Elsewhere")}, broken={"signup_time": "long ago"}))


def _offers(spark: SparkSession) -> DataFrame:
    """Two of each kind, always valid; too few for dirt."""
    key = F.col("id")
    kind = F.element_at(F.lit([*OFFER_KINDS]), (key % len(OFFER_KINDS) + 1).cast("int"))
    made = spark.range(_OFFERS).select(
        key,
        _id("o", key).alias("offer_id"),
        F.lit(-_DAY).alias("arrived_at"),
        kind.alias("kind"),
        F.when(kind == "percent_off", "0.1").otherwise("5").alias("depth"),
        F.lit("all").alias("scope"),
        F.lit("email|app").alias("channels"),
        F.lit(-_DAY).alias("valid_from"),
        F.lit(_SPAN + 90 * _DAY).alias("valid_to"),
    )
    return _records("offers", made)
