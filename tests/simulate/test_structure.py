"""The structural model: percentiles, identities, and that nothing depends on the partitioning."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.config import Settings
from offerlake.simulate import shop as shops
from offerlake.simulate.baskets import LINES, PAIRS, basket_moments, price_tables
from offerlake.simulate.calendar import Calendar
from offerlake.simulate.catalogue import catalogue, per_category
from offerlake.simulate.clicks import browsing, visits
from offerlake.simulate.offers import MIN_SPENDS, OFFERS, Offer, arms
from offerlake.simulate.orders import Draws, windows
from offerlake.simulate.structure import outcomes
from simulate.made import changed

CONTACT_COST = {"email": 0.01, "app": 0.005}
START = pd.Timestamp("2025-01-06", tz="UTC").to_pydatetime()


@pytest.fixture(scope="module")
def settings_4000(settings: Settings) -> Settings:
    """4,000 users, enough for percentiles."""
    return changed(settings, users=4000)


@pytest.fixture(scope="module")
def users(spark: SparkSession, settings_4000: Settings, tmp_path_factory: pytest.TempPathFactory) -> DataFrame:
    """Their traits, stored."""
    products = catalogue(spark, products=2000, seed=7, known=START)
    return shops.people(spark, settings_4000, products, str(tmp_path_factory.mktemp("truth")))


@pytest.fixture(scope="module")
def truth(spark: SparkSession, users: DataFrame) -> pd.DataFrame:
    """Outcomes of people, with effects and without (`effects` 1 and 0)."""
    made = [
        outcomes(users.where("not is_bot"), arms(spark, CONTACT_COST), effects=effects)
        .toPandas()
        .assign(effects=effects)
        for effects in (1.0, 0.0)
    ]
    return pd.concat(made)


def test_shop_is_as_hard_as_it_says(truth: pd.DataFrame) -> None:
    chances = truth[truth["effects"] == 1].pivot_table(index="user_id", columns="offer_id", values="p_response")
    base = chances.pop("none")
    # Tolerances are about three standard errors at 4,000 users.
    assert base.mean() == pytest.approx(0.04, abs=0.0015)
    assert base.quantile(0.05) == pytest.approx(0.012, abs=0.002)
    assert base.quantile(0.95) == pytest.approx(0.09, abs=0.006)
    effects = chances.sub(base, axis=0)
    low, high = np.quantile(effects.to_numpy(), [0.05, 0.95])
    assert -0.015 <= low <= -0.005
    assert 0.040 <= high <= 0.050
    gain = truth[truth["effects"] == 1].groupby("offer_id")["incremental_margin"].mean()
    assert gain["PCT20"] < 0
    assert gain["PCT30"] < gain["PCT20"]


def test_more_depth_helps_less_and_less(truth: pd.DataFrame) -> None:
    mean = truth[truth["effects"] == 1].groupby("offer_id")["p_response"].mean()
    slopes = np.diff([mean["PCT05"], mean["PCT10"], mean["PCT20"], mean["PCT30"]]) / [0.05, 0.1, 0.1]
    assert (slopes > 0).all()
    assert (np.diff(slopes) < 0).all()


def test_outcomes_add_up(truth: pd.DataFrame) -> None:
    expected = truth["p_response"] * truth["order_margin"] - truth["expected_cost"]
    np.testing.assert_allclose(truth["expected_margin"], expected, atol=1e-8)
    nothing = truth[truth["offer_id"] == "none"].set_index(["effects", "user_id"])
    keys = pd.MultiIndex.from_frame(truth[["effects", "user_id"]])
    under_nothing = nothing.loc[keys, "expected_margin"].to_numpy()
    np.testing.assert_allclose(truth["incremental_margin"], truth["expected_margin"] - under_nothing, atol=2e-9)
    assert (nothing["expected_cost"] == 0).all()
    assert (truth["p_redeem"] <= truth["p_response"]).all()
    assert truth["p_response"].between(0, 1).all()


def test_without_effects_no_offer_changes_an_outcome(truth: pd.DataFrame) -> None:
    still = truth[truth["effects"] == 0]
    spread = still.groupby("user_id")["p_response"].agg(["min", "max"])
    assert (spread["min"] == spread["max"]).all()
    np.testing.assert_allclose(still["incremental_margin"], -still["expected_cost"], atol=2e-9)
    costs = still.groupby("offer_id")["expected_cost"].mean()
    assert costs["PCT30"] > costs["PCT05"] > costs["none"] == 0


@pytest.mark.parametrize(
    ("offer", "strength"),
    [
        (Offer("A", "percent_off", 0.12), 1 - np.exp(-1)),
        (Offer("B", "amount_off", 7.2), 1 - np.exp(-1)),
        (Offer("C", "content", None), 1 - np.exp(-0.05 / 0.12)),
    ],
)
def test_strength_of_an_offer(offer: Offer, strength: float) -> None:
    assert offer.strength == pytest.approx(strength)


def test_offers_go_out_on_their_cheapest_channel() -> None:
    costs = {"email": 0.01, "app": 0.005, "sms": 0.06}
    assert Offer("A", "gift", 1.0).channel(costs) == "app"
    assert Offer("A", "gift", 1.0, channels=("sms", "email")).channel(costs) == "email"
    assert len(OFFERS) == 12
    assert sum(offer.scope is not None for offer in OFFERS) == 2


def test_basket_moments_are_those_of_drawn_baskets(spark: SparkSession) -> None:
    """Closed form against 200,000 drawn baskets of one user, within four standard errors."""
    size, level, count = per_category(2000), 13, 200_000
    products = catalogue(spark, products=2000, seed=7, known=START)
    taste = [0.3, 0.1, 0.0, 0.2, 0.05, 0.05, 0.1, 0.1, 0.05, 0.05]
    tables = price_tables(products, size=size)
    frame = spark.createDataFrame([(taste, level)], "taste array<double>, level int")
    moments = frame.select(basket_moments(F.col("taste"), F.col("level"), tables).alias("m")).first()
    assert moments is not None
    known = products.orderBy("category_index", "rank").toPandas()
    price = (known["price_cents"].to_numpy() / 100).reshape(10, size)
    cost = (known["cost_cents"].to_numpy() / 100).reshape(10, size)
    draws = np.random.default_rng(1)
    lines = draws.choice(4, p=LINES, size=count) + 1
    present = np.arange(4)[None, :] < lines[:, None]
    category = draws.choice(10, p=taste, size=(count, 4))
    rank = (draws.random((count, 4)) ** np.exp(-0.8 * (level / 4 - 2.5)) * size).astype(int)
    units = np.where(draws.random((count, 4)) < PAIRS, 2, 1) * present
    gross = (price[category, rank] * units).sum(axis=1)
    margin = ((price - cost)[category, rank] * units).sum(axis=1) * 0.94
    assert abs(gross.mean() - sum(moments["m"]["gross"])) < 4 * gross.std() / np.sqrt(count)
    assert abs(margin.mean() - moments["m"]["margin"]) < 4 * margin.std() / np.sqrt(count)
    for spend, reached in zip(MIN_SPENDS, moments["m"]["reach"], strict=True):
        assert abs((gross >= spend).mean() - reached) < 4 * np.sqrt(reached * (1 - reached) / count)


def _sums(frame: DataFrame) -> tuple[int, int]:
    """Rows, and the sum of their hashes: the same for the same rows in any order."""
    row = frame.select(F.xxhash64(*frame.columns).cast("decimal(38,0)").alias("hash")).agg(
        F.count("*").alias("rows"), F.sum("hash").alias("hash")
    )
    found = row.first()
    assert found is not None
    return int(found["rows"]), int(found["hash"])


def test_rows_do_not_depend_on_the_partitioning(spark: SparkSession, settings_4000: Settings, users: DataFrame) -> None:
    own = settings_4000.simulate
    calendar = Calendar.of(own)
    some = users.where("number < 150")
    found = []
    for frame in (some.coalesce(1), some.repartition(5, "need")):
        draws, sent = Draws(own, calendar), arms(spark, CONTACT_COST)
        clicks = browsing(visits(frame, own, calendar), own).select("id", "at_ms", "product_id", "offer_id")
        found.append([_sums(part) for part in (windows(frame, sent, draws), clicks)])
    assert found[0] == found[1]
    assert found[0][0][0] == 150 * 17
    assert found[0][1][0] > 10_000
