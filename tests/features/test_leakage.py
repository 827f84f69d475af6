"""Nothing that happens or arrives on a day or later changes what is known as of that day.

The future is thrown away, altered and doubled; everything is built again; and every row is the same to the last bit.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from offerlake.config import Settings
from offerlake.features.click_examples import click_examples, final_through
from offerlake.features.examples import counts, examples, known_exposures
from offerlake.features.interactions import interactions
from offerlake.features.products import product_features
from offerlake.features.profiles import user_profiles
from offerlake.features.sequences import event_log, sequences
from offerlake.features.users import known_users, user_features
from offerlake.schemas.silver import OFFER_KINDS
from offerlake.windows import midnight

from .shop import Row, Shop, activity, moment, shop

D, MUCH_LATER = date(2025, 4, 1), date(2025, 6, 1)
DAYS = [D - timedelta(days=back) for back in (30, 1, 0)]
USERS, PRODUCTS, OFFERS = [f"u{k}" for k in range(8)], [f"p{k}" for k in range(9)], ["ten", "gift", "fruit", "list"]
Feeds = dict[str, list[Row]]
_EVENT = {"clicks": "event_time", "order_lines": "order_time", "exposures": "shown_at", "redemptions": "redeemed_at"}


def _history() -> Feeds:
    """Three months of everything: some rows at the very moment D begins, some that arrive weeks late."""
    chance = random.Random(11)

    def at(days: float = 90) -> str:
        instant = moment("2025-02-01") + timedelta(minutes=chance.randrange(int(days * 1440)))
        return (midnight(D) if chance.random() < 0.03 else instant).strftime("%Y-%m-%d %H:%M")

    def late(happened: str) -> str:
        delay = timedelta(minutes=chance.choice([0, 1, 30, 600, 3 * 1440, 30 * 1440]))
        instant = moment(happened) + delay
        return (max(instant, midnight(D)) if chance.random() < 0.05 else instant).strftime("%Y-%m-%d %H:%M")

    def event(feed: str, number: int, **fields: Any) -> Row:
        happened = at()
        key = {"clicks": "event_id", "order_lines": "order_id", "exposures": "exposure_id"}.get(feed, "redemption_id")
        arrived = {"arrived_at": late(happened), key: f"{feed} {number}"}
        return {"user_id": chance.choice(USERS), _EVENT[feed]: happened, **arrived, **fields}

    kinds = ["view", "view", "view", "add_to_cart", "search", "offer_view", "offer_click"]
    feeds: Feeds = {
        "clicks": [
            event("clicks", k, event_type=chance.choice(kinds), product_id=chance.choice(PRODUCTS),
                  offer_id=chance.choice(OFFERS), channel=[None, "web", "app"][k % 3], query=f"Term  {k % 5}")
            for k in range(500)
        ],
        "order_lines": [
            event("order_lines", k, product_id=chance.choice(PRODUCTS), quantity=chance.choice([1, 2, 3, -1]),
                  unit_price=chance.choice([3, 7.5]), discount=chance.choice([0, 1]),
                  coupon_amount=k % 2)
            for k in range(90)
        ],
        "exposures": [
            event("exposures", k, offer_id=chance.choice([*OFFERS, None]), channel=chance.choice(["email", "app"]))
            for k in range(60)
        ],
        "redemptions": [event("redemptions", k, offer_id=chance.choice(OFFERS)) for k in range(60)],
        "products": [{"product_id": name, "price": k, "brand": f"b{k % 2}"} for k, name in enumerate(PRODUCTS)],
        "users": [{"user_id": name, "age_band": "18-24", "signup_time": "2025-01-15"} for name in USERS[:6]],
        "offers": [
            {"offer_id": "ten", "depth": 0.1},
            {"offer_id": "gift", "kind": "gift", "cost_per_redemption": 2},
            {"offer_id": "fruit", "depth": 0.3, "scope": "category", "scope_values": ["Food > Fruit"]},
            {"offer_id": "list", "kind": "coupon_book", "scope": "products"},
        ],
        "offer_products": [{"offer_id": "list", "product_id": name} for name in PRODUCTS[::3]],
    }  # fmt: skip
    # The same weeks of the year before; half of the orders become known when D is over.
    feeds["clicks"] += [{"user_id": name, "event_time": "2024-03-15"} for name in USERS[:6]]
    feeds["order_lines"] += [
        {"user_id": name, "product_id": "p1", "order_time": f"2024-04-{place + 3:02}",
         "arrived_at": ["2024-05-01", "2025-04-03"][place % 2], "order_id": f"old {place}"}
        for place, name in enumerate([*USERS[:6], *USERS[:6]])
    ]  # fmt: skip
    feeds["order_lines"] += [
        {"user_id": name, "product_id": "p2", "order_time": "2025-03-05", "order_id": f"two {name}", "line_id": line}
        for name in USERS[:3]
        for line in "12"
    ]
    changes = ["2025-03-01", "2025-03-31 23:59", "2025-04-01", "2025-04-20"]
    for name in PRODUCTS[:6]:
        for arrived in changes:
            category = chance.choice(["Food > Fruit", "Food > Bakery", "Home"])
            feeds["products"].append(
                {"product_id": name, "arrived_at": arrived, "price": chance.randrange(9), "unit_cost": 1,
                 "category": category, "brand": "b1"}
            )  # fmt: skip
    for name in USERS[:6]:
        feeds["users"] += [
            {"user_id": name, "age_band": each, "signup_time": "2025-01-15", "arrived_at": each} for each in changes
        ]
    feeds["offers"] += [
        {"offer_id": "ten", "depth": 0.5, "campaign_type": each, "arrived_at": each} for each in changes[1:]
    ]
    return feeds


def _unknown(row: Row, clock: str | None) -> bool:
    """Happened or arrived when D had begun."""
    return max(moment(row[name]) for name in (clock, "arrived_at") if name in row) >= midnight(D)


def _altered(feeds: Feeds) -> Feeds:
    """The same past, another future."""
    changed: Feeds = {}
    for feed, rows in feeds.items():
        kept: list[Row] = []
        for number, row in enumerate(rows):
            if feed == "offer_products" or "arrived_at" not in row or not _unknown(row, _EVENT.get(feed)):
                kept.append(row)
            elif number % 3 == 1:
                kept.append(_another(row))
            elif number % 3 == 2:
                kept += [row, {**_another(row), **{key: f"{row[key]}x" for key in row if key in _KEYS}}]
        changed[feed] = kept
    changed["users"].append({"user_id": "newcomer", "signup_time": "2025-04-01", "arrived_at": "2025-04-01"})
    return changed


_KEYS = ("event_id", "order_id", "exposure_id", "redemption_id")
_OTHER: Mapping[str, Callable[[Any], Any]] = {
    "event_type": lambda _: "view",
    "product_id": lambda _: "p0",
    "quantity": lambda old: old * 7,
    "price": lambda old: old + 5,
    "category": lambda _: "Home",
    "brand": lambda _: "b9",
    "coupon_amount": lambda old: 1 - old,
    "discount": lambda old: 2 - old,
    "channel": lambda _: "push",
    "query": lambda _: "another",
    "depth": lambda _: 0.9,
    "campaign_type": lambda _: "another",
    "age_band": lambda _: "99",
    "arrived_at": lambda old: (max(moment(old), midnight(D)) + timedelta(hours=3)).strftime("%Y-%m-%d %H:%M"),
}


def _another(row: Row) -> Row:
    keeps = {"product_id"} if "category" in row else set()
    return {name: _OTHER[name](old) if name in _OTHER and name not in keeps else old for name, old in row.items()}


def _as_of(made: Shop, settings: Settings) -> dict[str, Sequence[dict[str, Any]]]:
    """All tables, those of users of a range of days that ends with D, as rows in order."""
    logs = made.tables("clicks", "order_lines")
    daily = activity(made, settings)
    wanted = known_users(DAYS, users=made.users, days=daily["days"])
    few = settings.features.model_copy(update={"brand_limit": 2, "search_term_limit": 2})
    frames = {
        "users": user_features(wanted, as_ofs=DAYS, **daily, users=made.users, settings=settings.features),
        "profiles": user_profiles(DAYS, daily["category_days"], **logs, products=made.products, settings=few),
        "products": product_features(D, **logs, products=made.products, settings=settings.features),
        "sequences": sequences(wanted, event_log(**logs), length=5),
        "interactions": interactions(D, **logs, weights=settings.recommend.weights, half_life_days=45),
    }

    def place(row: dict[str, Any]) -> tuple[str, ...]:
        return str(row.get("as_of")), row.get("user_id", ""), row.get("product_id", "")

    return {name: sorted((row.asDict() for row in frame.collect()), key=place) for name, frame in frames.items()}


def _examples(made: Shop, settings: Settings, as_of: date) -> dict[str, dict[str, Any]]:
    known = known_exposures(as_of, made.exposures, made.offers, settings=settings.examples)
    names = ("clicks", "order_lines", "redemptions", "offers", "offer_products", "products", "users")
    frame = examples(
        known,
        as_ofs=counts(known).days,
        **activity(made, settings),
        **made.tables(*names),
        features=settings.features,
        contact_cost={"email": 0.1},
    )
    return {row.exposure_id: row.asDict() for row in frame.collect()}


@pytest.fixture(scope="module")
def shops(spark: SparkSession) -> tuple[Shop, Shop]:
    """The shop as it was, and with another future."""
    feeds = _history()
    return shop(spark, **feeds), shop(spark, **_altered(feeds))


def test_the_future_changes_no_feature(shops: tuple[Shop, Shop], settings: Settings) -> None:
    before, after = (_as_of(made, settings) for made in shops)
    assert [sum(row["as_of"] == day for row in before["users"]) for day in DAYS[1:]] == [len(USERS)] * 2
    assert sum(row["orders_364d"] for row in before["users"] if row["as_of"] == D) > 15
    constant = {name for name in before["users"][0] if len({row[name] for row in before["users"]}) == 1}
    silent = {"gender", "region", "cart_removals_84d", "content_views_84d", *[f"click_rate_{k}" for k in OFFER_KINDS]}
    assert constant <= silent, "nothing is shown of what never varies"
    assert before == after


def test_an_example_once_final_never_changes(shops: tuple[Shop, Shop], settings: Settings) -> None:
    built_then = _examples(shops[1], settings, D)
    built_later = _examples(shops[0], settings, MUCH_LATER)
    assert 10 < len(built_then) < len(built_later)
    assert {row["responded"] for row in built_then.values()} == {0, 1}
    assert {name: built_later[name] for name in built_then} == built_then


def _click_examples(made: Shop, settings: Settings, as_of: date) -> dict[str, dict[str, Any]]:
    # Clicks here follow no impression: only in weeks some do by chance.
    wide = settings.examples.model_copy(update={"click_window_minutes": 14 * 1440, "negative_rate": 0.5})
    last = final_through(as_of, settings=wide)
    frame = click_examples(made.clicks, first=date(2025, 2, 1), last=last, settings=wide, seed=7)
    return {row.impression_id: row.asDict() for row in frame.collect()}


def test_a_click_example_once_final_never_changes(shops: tuple[Shop, Shop], settings: Settings) -> None:
    built_then = _click_examples(shops[1], settings, D)
    built_later = _click_examples(shops[0], settings, MUCH_LATER)
    assert 8 < len(built_then) < len(built_later)
    assert {row["clicked"] for row in built_then.values()} == {0, 1}
    last = final_through(D, settings=settings.examples.model_copy(update={"click_window_minutes": 14 * 1440}))
    assert {name: row for name, row in built_later.items() if row["shown_date"] <= last} == built_then
