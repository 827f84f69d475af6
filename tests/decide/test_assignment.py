"""The rows of `user_offers`."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from decide.made import DAY, EARLY, frame, offer, score, user, utc
from offerlake.config import Settings
from offerlake.decide.assignment import Assignment, Catalogue, assign
from offerlake.schemas import table
from offerlake.windows import midnight

SCORES = [
    score("u1", "o1", 0.5, 0.4), score("u1", "o2", 0.8, 1.2), score("u2", "o1", 0.1, 0.5),
    score("u3", "o2", -0.3, 1.0), score("u3", "o3", -0.1, 0.2),
]  # fmt: skip


def run(
    spark: SparkSession, settings: Settings, catalogue: Catalogue, **changes: Any
) -> tuple[dict[str, Row], Assignment]:
    decide = settings.decide.model_copy(update={"holdout_share": 0.0, "explore_share": 0.0, **changes})
    made = assign(
        frame(spark, "offer_scores", SCORES),
        catalogue,
        as_of=DAY,
        run_id="r1",
        seed=7,
        settings=decide,
        unknown_consent=True,
    )
    return {row["user_id"]: row for row in made.rows.collect()}, made


@pytest.fixture(scope="module")
def tight(spark: SparkSession, settings: Settings, catalogue: Catalogue) -> dict[str, Row]:
    """Rows by user, with a budget for one offer."""
    rows, made = run(spark, settings, catalogue, budget=0.45)
    table("user_offers").check(made.rows)
    return rows


def test_every_user_has_a_row_with_his_choice_and_why(tight: dict[str, Row]) -> None:
    rows = tight
    assert {name: row["offer_id"] for name, row in rows.items()} == {
        "u1": "o1", "u2": None, "u3": None, "u4": None, "u5": None,
    }  # fmt: skip
    assert {name: row["reasons"] for name, row in rows.items()} == {
        "u1": ["value=0.5000", "cost=0.4000", "uplift=0.0200", "p_redeem=0.0300", "price=0.3750"],
        "u2": ["value_per_cost=0.2000", "price=0.3750"],
        "u3": ["best_value=-0.1000"],
        "u4": ["no_marketing_consent=1"],
        "u5": ["eligible_offers=0"],
    }
    assert {row["propensity"] for row in rows.values()} == {1.0}
    assert len({row["assignment_id"] for row in rows.values()}) == 5


def test_a_row_carries_scores_validity_and_products_in_scope(tight: dict[str, Row]) -> None:
    first, second, fifth = tight["u1"], tight["u2"], tight["u5"]
    # Best first, in Dairy and below it; `Dairyfree` only begins with the same letters.
    assert first["product_ids"] == ["p1", "p2"]
    assert (first["expected_value"], first["expected_cost"], first["p_response"]) == (0.5, 0.4, 0.06)
    assert (first["kind"], first["depth"], first["channel"], first["model_version"]) == (
        "percent_off", 0.1, "email", "m1",
    )  # fmt: skip
    assert (utc(first["valid_from"]), utc(first["valid_to"])) == (midnight(DAY), midnight(date(2025, 9, 17)))
    assert (second["kind"], second["p_response"], second["p_redeem"], second["uplift"]) == ("none", 0.04, 0.0, 0.0)
    assert (second["product_ids"], second["expected_value"], second["expected_cost"]) == ([], 0.0, 0.0)
    assert (fifth["p_response"], fifth["model_version"]) == (None, None)


def test_an_offer_ends_no_later_than_itself(spark: SparkSession, settings: Settings, catalogue: Catalogue) -> None:
    rows, made = run(spark, settings, catalogue, budget=100.0)
    assert rows["u1"]["offer_id"] == "o2"
    assert utc(rows["u1"]["valid_to"]) == midnight(date(2025, 9, 10))
    assert made.edge.spend == pytest.approx(1.7)


def test_holdout_gets_nothing_and_stays_at_the_model_choices_probability(
    spark: SparkSession, settings: Settings, catalogue: Catalogue
) -> None:
    rows, _ = run(spark, settings, catalogue, budget=100.0, holdout_share=0.999)
    held = [row for row in rows.values() if row["arm"] == "holdout"]
    assert len(held) >= 4
    assert all(row["offer_id"] is None and row["reasons"] == ["holdout=0.9990"] for row in held)
    # u1 would have got o2, so nothing has probability h; u3 would have got nothing anyway.
    assert {row["user_id"]: row["propensity"] for row in held if row["user_id"] in ("u1", "u3")} == pytest.approx(
        {"u1": 0.999, "u3": 1.0}
    )


def test_exploration_and_model_share_one_budget(spark: SparkSession, settings: Settings, catalogue: Catalogue) -> None:
    people = [user(f"u{n}") for n in range(400)]
    scores = [score(row["user_id"], f"o{k}", 0.3 * k - 0.2, 0.25 * k) for row in people for k in (1, 2, 3)]
    decide = settings.decide.model_copy(
        update={"budget": 60.0, "holdout_share": 0.1, "explore_share": 0.4, "explore_budget_share": 0.5}
    )
    shop = Catalogue(
        users=frame(spark, "users", people),
        offers=catalogue.offers,
        redemptions=catalogue.redemptions,
        candidates=catalogue.candidates,
    )

    def once(parts: int) -> list[Row]:
        made = assign(
            frame(spark, "offer_scores", scores).repartition(parts),
            shop,
            as_of=DAY,
            run_id="r1",
            seed=7,
            settings=decide,
            unknown_consent=True,
        )
        return sorted(made.rows.collect(), key=lambda row: str(row["user_id"]))

    rows = once(3)
    spend = {
        name: sum(row["expected_cost"] for row in rows if row["arm"] == name)
        for name in ("model", "explore", "holdout")
    }
    assert 29.0 <= spend["explore"] <= 30.0
    assert 59.0 <= spend["explore"] + spend["model"] <= 60.0 * (1 + 1e-9)
    assert spend["holdout"] == 0.0
    assert all(0 < row["propensity"] < 1 for row in rows)
    assert all(row["offer_id"] is not None or row["p_redeem"] == 0.0 for row in rows)
    # Another partitioning, the same rows.
    assert once(1) == rows


def test_without_a_control_the_value_is_what_redemptions_bring(
    spark: SparkSession, settings: Settings, catalogue: Catalogue
) -> None:
    plain = score("u1", "o1", 0.0, 0.4, expected_margin=None, uplift=None, p_no_offer=None, p_redeem=0.05)
    made = assign(
        frame(spark, "offer_scores", [plain]),
        catalogue,
        as_of=DAY,
        run_id="r1",
        seed=7,
        settings=settings.decide.model_copy(update={"holdout_share": 0.0, "explore_share": 0.0}),
        unknown_consent=True,
    )
    row = made.rows.where(F.col("user_id") == "u1").collect()[0]
    assert row["expected_value"] == pytest.approx(0.05 * 20 - 0.4)
    assert row["uplift"] is None
    assert row["reasons"][:2] == ["value=0.6000", "cost=0.4000"]


def _used(spark: SparkSession, *arrived: datetime) -> DataFrame:
    """Redemptions of o1, by when they were known."""
    one = {"user_id": "u", "offer_id": "o1", "redeemed_at": EARLY, "redeemed_date": EARLY.date()}
    rows = [{**one, "redemption_id": f"r{n}", "arrived_at": moment} for n, moment in enumerate(arrived)]
    return frame(spark, "redemptions", rows)


def test_an_offer_that_is_used_up_goes_to_nobody(spark: SparkSession, settings: Settings, catalogue: Catalogue) -> None:
    people = [user(f"u{n}") for n in range(40)]
    made = assign(
        frame(spark, "offer_scores", [score(f"u{n}", offer, 1.0, 0.1) for n in range(40) for offer in ("o1", "o2")]),
        replace(
            catalogue,
            users=frame(spark, "users", people),
            offers=frame(spark, "offers", [offer("o1", max_redemptions=2), offer("o2")]),
            redemptions=_used(spark, EARLY, EARLY),
        ),
        as_of=DAY,
        run_id="r1",
        seed=7,
        settings=settings.decide.model_copy(update={"holdout_share": 0.0, "explore_share": 0.5, "budget": 100.0}),
        unknown_consent=True,
    )
    given = {(row["arm"], row["offer_id"]) for row in made.rows.collect()}
    assert given == {("model", "o2"), ("explore", "o2"), ("explore", None)}


def test_an_offer_with_a_limit_goes_to_those_who_make_most_of_a_use(
    spark: SparkSession, settings: Settings, catalogue: Catalogue
) -> None:
    people = [user(f"u{n}") for n in range(40)]
    limited = frame(spark, "offers", [offer("o1", max_redemptions=5), offer("o2", max_redemptions=100), offer("o3")])
    # Of five uses of o1 two are gone; a third one was not known yet.
    used = _used(spark, EARLY, EARLY, midnight(DAY))
    # A use each of o1 is expected of five users; o1 is worth more to higher numbers, o2 a little to all but the last.
    scores = [score(f"u{n}", "o1", 1.0 + 0.01 * n, 1.0, p_redeem=0.5) for n in range(40)]
    scores += [score(f"u{n}", "o2", 0.2, 1.0, p_redeem=0.5) for n in range(39)]
    made = assign(
        frame(spark, "offer_scores", scores),
        Catalogue(
            users=frame(spark, "users", people),
            offers=limited,
            redemptions=used,
            candidates=catalogue.candidates,
        ),
        as_of=DAY,
        run_id="r1",
        seed=7,
        settings=settings.decide.model_copy(update={"holdout_share": 0.0, "explore_share": 0.0, "budget": 12.0}),
        unknown_consent=True,
    )
    rows = {row["user_id"]: row for row in made.rows.collect()}
    # Three uses of half a probability each are six users: the highest numbers. Six more get o2 with what is left.
    assert {name for name, row in rows.items() if row["offer_id"] == "o1"} == {f"u{n}" for n in range(34, 40)}
    assert sum(row["offer_id"] == "o2" for row in rows.values()) == 6
    assert made.edge.price == pytest.approx(0.2)
