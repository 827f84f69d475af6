"""Whatever stands in a field: the run goes on, each record is counted once, and a reason names the column."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from clean.made import raw, rules
from offerlake.clean.clicks import clean_clicks
from offerlake.clean.exposures import clean_exposures
from offerlake.clean.identities import clean_identities
from offerlake.clean.offer_products import clean_offer_products
from offerlake.clean.offers import clean_offers
from offerlake.clean.orders import clean_orders
from offerlake.clean.products import clean_products
from offerlake.clean.quarantine import Cleaned
from offerlake.clean.redemptions import clean_redemptions
from offerlake.clean.users import clean_users
from offerlake.config import Settings
from offerlake.schemas import table
from offerlake.schemas.bronze import FEEDS

AT = "2025-01-06T12:00:00Z"
GOOD: dict[str, dict[str, str]] = {
    "clicks": {"event_id": "e", "user_id": "u", "event_time": AT, "arrived_at": AT, "event_type": "view"},
    "orders": {
        "order_id": "o", "line_id": "1", "user_id": "u", "product_id": "p", "order_time": AT, "arrived_at": AT,
        "quantity": "1", "unit_price": "2",
    },
    "products": {"product_id": "p", "price": "1"},
    "users": {"user_id": "u"},
    "identities": {"alias": "a", "user_id": "u"},
    "offers": {"offer_id": "o", "kind": "gift", "scope": "all", "valid_from": "2025-01-01", "valid_to": "2025-02-01"},
    "offer_products": {"offer_id": "o", "product_id": "p"},
    "exposures": {"exposure_id": "x", "user_id": "u", "shown_at": AT, "arrived_at": AT, "policy": "p"},
    "redemptions": {"redemption_id": "r", "user_id": "u", "offer_id": "o", "redeemed_at": AT, "arrived_at": AT},
}  # fmt: skip
NASTY = st.one_of(
    st.none(),
    st.sampled_from([
        "NaN", "Infinity", "-Infinity", "1e308", "-1e400", "1e-400", "9" * 400, "0x1F", "1_000", "--1", "+", ".", "1,5",
        "", "  ", "null", "true", "\x00", "a\nb", "a\r\nb", '"', '""', "'; DROP TABLE users; --", "=1+1", "@SUM(A1)",
        "\N{PILE OF POO}", "\u202e\u0000\ufeff", "١٢٣", "2025-02-30", "0000-00-00", "-0001-01-01", "294247-01-10",
        "9999-12-31T23:59:59Z", "99999-01-01T00:00:00Z", "2025-01-06T25:61:00Z", "24:00", "now", "[1,", '["a",null]',
        "[[]]", '{"a":', "x" * 70_000, "%s%n", "${jndi:ldap://x}", "\\", "\\N", "-0", "2147483648", "1e18",
    ]),
    st.text(st.characters(codec="utf-8"), max_size=20),
)  # fmt: skip


def records(feed: str) -> st.SearchStrategy[list[dict[str, str | None]]]:
    wrong = st.dictionaries(st.sampled_from(FEEDS[feed]), NASTY, min_size=1, max_size=3)
    return st.lists(wrong, min_size=150, max_size=150)


@pytest.fixture
def cleaners(spark: SparkSession, settings: Settings) -> dict[str, Callable[[DataFrame], Cleaned]]:
    """Each feed's cleaning; nothing is known of products, users and offers but what every good record names."""
    known = {
        name: spark.createDataFrame([(GOOD[name][key],)], f"{key} string")
        for name, key in (("products", "product_id"), ("users", "user_id"), ("offers", "offer_id"))
    }
    ids = {name: known[name] for name in ("products", "users")}
    of_offers = {"offers": known["offers"], "users": known["users"]}
    rest: dict[str, Any] = {"rules": rules(settings.clean, quote=40)}
    return {
        "clicks": lambda frame: clean_clicks(frame, **ids, **rest),
        "orders": lambda frame: clean_orders(frame, **ids, **rest),
        "products": lambda frame: clean_products(frame, **rest),
        "identities": lambda frame: clean_identities(frame, **rest),
        "users": lambda frame: clean_users(frame, **rest),
        "offers": lambda frame: clean_offers(frame, **rest),
        "offer_products": lambda frame: clean_offer_products(frame, products=known["products"], **rest),
        "exposures": lambda frame: clean_exposures(frame, **of_offers, **rest),
        "redemptions": lambda frame: clean_redemptions(frame, **of_offers, **rest),
    }


@pytest.mark.parametrize("feed", FEEDS)
@settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # an example is a Spark job: a shorter one is not worth hundreds of them
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_every_field_of_every_feed(
    spark: SparkSession, cleaners: dict[str, Callable[[DataFrame], Cleaned]], feed: str, data: st.DataObject
) -> None:
    spoilt = data.draw(records(feed))
    key = table({"orders": "order_lines"}.get(feed, feed)).key[0]
    visitors = ({"user_id": f"good{number}"} if feed == "clicks" else {} for number in range(200))  # one alone is a bot
    rows: list[dict[str, Any]] = [
        {**GOOD[feed], key: f"good{number}", **visitor} for number, visitor in enumerate(visitors)
    ]
    rows += [{**GOOD[feed], key: f"{number}", **wrong} for number, wrong in enumerate(spoilt)]
    cleaned = cleaners[feed](raw(spark, feed, rows))
    with cleaned.held() as (_, counts):
        assert counts["rows_in"] == len(rows)
        assert counts["rows_in"] == counts["rows_out"] + counts["duplicates"] + counts["quarantined"]
        refused = cleaned.quarantined.collect()
        kept = cleaned.good.collect()
    assert len(refused) == counts["quarantined"]
    assert len({row["record_id"] for row in refused}) == len(refused)
    assert len(kept) == counts["rows_out"] >= 200
    for row in refused:
        assert row["source_position"]
        for reason in row["reasons"]:
            code, _, rest = reason.partition(":")
            assert re.fullmatch("[a-z_]+", code)
            assert code == "bot" or re.split(r"[=, ]", rest)[0] in FEEDS[feed]
            assert len(reason) < 200
