"""The hard rules."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from pyspark.sql import SparkSession

from clean.made import raw
from clean.made import rules as by
from decide.made import DAY, features, frame, offer, user
from offerlake.clean.offers import clean_offers
from offerlake.clean.users import clean_users
from offerlake.config import Settings
from offerlake.decide.eligibility import RULES, eligible, judge_pairs, newest, refusals, roster
from offerlake.windows import midnight


def test_pairs_pass_or_are_refused_by_the_first_rule(spark: SparkSession, settings: Settings) -> None:
    users = [user("yes"), user("quiet", consent_marketing=False), user("private", consent_profiling=False)]
    offers = [
        offer("good", channels=["mail", "app", "email"], min_spend=Decimal(100)),
        offer("old", valid_to=midnight(date(2025, 9, 3))),
        offer("today", valid_from=midnight(date(2025, 9, 3))),
        offer("later", valid_from=midnight(date(2025, 9, 4))),
        offer("empty", scope="category"),
        offer("listed", scope="products"),
        offer("unlisted", scope="products"),
        offer("mute", channels=[]),
        offer("dear", min_spend=Decimal(101)),
        offer("radio", channels=["radio"]),
    ]
    judged = judge_pairs(
        frame(spark, "users", users),
        frame(spark, "offers", offers),
        frame(spark, "offer_products", [{"offer_id": "listed", "product_id": "p1", "coupon_id": ""}]),
        frame(spark, "user_features", [features("yes", 50.0)]),
        as_of=DAY,
        settings=settings.decide,
        unknown_consent=True,
    )
    of_yes = {row["offer_id"]: row["refused"] for row in judged.where("user_id = 'yes'").collect()}
    assert of_yes == {
        "good": None, "old": "expired", "today": None, "later": "not_yet_valid", "empty": "empty_scope",
        "listed": None, "unlisted": "empty_scope", "mute": "no_channel", "dear": "min_spend", "radio": None,
    }  # fmt: skip
    passed = {row["offer_id"]: (row["channel"], row["contact_cost"]) for row in eligible(judged).collect()}
    assert passed == {
        "good": ("app", 0.005), "today": ("app", 0.005), "listed": ("app", 0.005), "radio": ("radio", 0.0),
    }  # fmt: skip
    assert refusals(judged) == {
        "no_marketing_consent": 10, "no_profiling_consent": 10, "expired": 1, "not_yet_valid": 1, "empty_scope": 2,
        "no_channel": 1, "min_spend": 1, "passed": 4,
    }  # fmt: skip
    assert set(refusals(judged)) == {*RULES, "passed"}


def test_unknown_consent_is_a_setting(spark: SparkSession, settings: Settings) -> None:
    def passing(unknown: bool) -> int:
        judged = judge_pairs(
            frame(spark, "users", [user("u", consent_marketing=None, consent_profiling=None)]),
            frame(spark, "offers", [offer("o")]),
            frame(spark, "offer_products", []),
            frame(spark, "user_features", []),
            as_of=DAY,
            settings=settings.decide,
            unknown_consent=unknown,
        )
        return refusals(judged)["passed"]

    assert (passing(True), passing(False)) == (1, 0)


def test_what_the_shop_says_of_consent_and_channels_reaches_the_rules(spark: SparkSession, settings: Settings) -> None:
    """From raw rows: a consent that nobody stated is decided by the setting, an empty list of channels is none."""
    terms = {"arrived_at": "2025-01-06", "kind": "gift", "scope": "all", "valid_from": "2025-01-06"}
    told = [{"user_id": "yes", "consent_marketing": "true", "consent_profiling": "true"}, {"user_id": "unknown"}]
    listed = [{"offer_id": "any"}, {"offer_id": "mail", "channels": "mail"}, {"offer_id": "mute", "channels": "[]"}]
    users = clean_users(
        raw(spark, "users", [{"arrived_at": "2025-01-06", **row} for row in told]), rules=by(settings.clean)
    )
    offers = clean_offers(
        raw(spark, "offers", [{**terms, "valid_to": "2026-01-06", **row} for row in listed]),
        rules=by(settings.clean),
    )

    def judged(unknown: bool) -> dict[str, dict[str, str | None]]:
        found: dict[str, dict[str, str | None]] = {"yes": {}, "unknown": {}}
        for row in judge_pairs(
            users.good,
            offers.good,
            frame(spark, "offer_products", []),
            frame(spark, "user_features", []),
            as_of=DAY,
            settings=settings.decide,
            unknown_consent=unknown,
        ).collect():
            found[row["user_id"]][row["offer_id"]] = row["refused"]
        return found

    rules = {"any": None, "mail": None, "mute": "no_channel"}
    assert judged(unknown=True) == {"yes": rules, "unknown": rules}
    assert judged(unknown=False) == {"yes": rules, "unknown": dict.fromkeys(rules, "no_marketing_consent")}


def test_who_signs_up_later_is_not_there_yet(spark: SparkSession) -> None:
    users = [
        user("before"),
        user("now", signup_time=midnight(DAY)),
        user("long", signup_time=midnight(date(2025, 9, 2))),
    ]
    found = roster(frame(spark, "users", users), as_of=DAY, unknown_consent=True).collect()
    assert {row["user_id"] for row in found} == {"before", "long"}


def test_minimum_spend_is_judged_by_the_typical_order(spark: SparkSession, settings: Settings) -> None:
    judged = judge_pairs(
        frame(spark, "users", [user("new"), user("old"), user("rich")]),
        frame(spark, "offers", [offer("o", min_spend=Decimal(70))]),
        frame(spark, "offer_products", []),
        frame(spark, "user_features", [features("new", None), features("old", 30.0), features("rich", 35.0)]),
        as_of=DAY,
        settings=settings.decide,
        unknown_consent=True,
    )
    assert {row["user_id"]: row["refused"] for row in judged.collect()} == {
        "new": None,
        "old": "min_spend",
        "rich": None,
    }


def test_newest_version_before_the_day_and_the_first_where_there_is_none(spark: SparkSession) -> None:
    versions = [
        offer("changed", depth=0.1),
        offer("changed", depth=0.2, arrived_at=midnight(date(2025, 9, 2))),
        offer("changed", depth=0.3, arrived_at=midnight(date(2025, 9, 3))),
        offer("future", depth=0.5, arrived_at=midnight(date(2025, 10, 2))),
        offer("future", depth=0.4, arrived_at=midnight(date(2025, 10, 1))),
    ]
    found = newest(frame(spark, "offers", versions), key="offer_id", as_of=DAY).collect()
    assert {row["offer_id"]: row["depth"] for row in found} == {"changed": 0.2, "future": 0.4}
