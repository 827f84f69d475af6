"""The uplift model and the scores on a planted shop whose effects, margins and costs are known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from offerlake.config import Settings
from offerlake.errors import DataError
from offerlake.response.models import ResponseModel
from offerlake.response.score import SCORES, USER_PART, ScoringModels, describe_users, score_pairs
from offerlake.response.train import train_response
from offerlake.response.uplift import TrainedUplift, UpliftModel, train_uplift
from response.planted import CONTACT_COST, OFFERS, USED, Shop, frame, shop

SEED = 7
USERS, ROUNDS = 12_000, 8
CONTACT = {"email": CONTACT_COST, "app": 0.5}


@pytest.fixture(scope="module")
def planted() -> Shop:
    return shop(users=USERS, rounds=ROUNDS)


@pytest.fixture(scope="module")
def response(spark: SparkSession, planted: Shop, settings: Settings) -> ResponseModel:
    quick = settings.response.model_copy(update={"trees": 2, "depth": 2})
    return train_response(frame(spark, planted.rows), settings=quick, label="responded", seed=SEED).model


def _uplift(spark: SparkSession, rows: pd.DataFrame, settings: Settings, base: ResponseModel | None) -> TrainedUplift:
    return train_uplift(
        frame(spark, rows),
        base,
        label="responded",
        seed=SEED,
        folds=settings.response.folds,
        settings=settings.uplift,
        contact_cost=CONTACT,
    )


def _targeted(planted: Shop) -> pd.DataFrame:
    """Rows that a rule chose: all respond, and nothing of it may be taken for an effect.

    What they bring and use is as it is elsewhere: of that they may teach.
    """
    some = planted.rows[:500].assign(responded=1, policy="rule")
    basket, margin = (numbers[np.arange(500) // ROUNDS] for numbers in (planted.basket, planted.margin))
    usable = (some["treatment"] == 1) & (some["kind"] != "content")
    redeemed = usable & (np.random.default_rng(3).random(500) < USED)
    given = redeemed * basket * some["discount_rate"]
    cost = given + redeemed * some["fixed_cost"] + CONTACT_COST * some["treatment"]
    some = some.assign(
        redeemed=redeemed.astype("int32"),
        use_value=given.where(redeemed),
        net_value=basket - given,
        margin=margin - cost,
    )
    unknown = some.assign(propensity=np.nan, exposure_id="t" + some["exposure_id"])
    certain = some.assign(propensity=1.0, exposure_id="x" + some["exposure_id"])
    return pd.concat([unknown, certain])


@pytest.fixture(scope="module")
def uplift(spark: SparkSession, planted: Shop, settings: Settings, response: ResponseModel) -> TrainedUplift:
    return _uplift(spark, pd.concat([planted.rows, _targeted(planted)]), settings, response)


@pytest.fixture(scope="module")
def scored(spark: SparkSession, planted: Shop, response: ResponseModel, uplift: TrainedUplift) -> pd.DataFrame:
    """Each user's last row, under every offer and nothing; ordered by user, then by offer with nothing last."""
    last = planted.rows.groupby("user_id").tail(1)
    terms = ["offer_id", "kind", "depth", "discount_rate", "fixed_cost", "channel", "scope_affinity", "treatment"]
    arms = [planted.rows[planted.rows["offer_id"] == offer][terms].head(1) for offer in OFFERS]
    arms.append(planted.rows[planted.rows["treatment"] == 0][terms].head(1))
    pairs = pd.concat([last.drop(columns=terms).assign(**arm.iloc[0].to_dict()) for arm in arms])
    pairs["kind_affinity"] = np.where(pairs["kind"] == "gift", pairs["click_rate_gift"], 0.0)
    model = UpliftModel.of(json.loads(json.dumps(uplift.model.as_dict(), allow_nan=False)))
    models = ScoringModels(response=response, base=response, uplift=model)
    rows = describe_users(frame(spark, pairs).withColumn("p_deep", F.lit(0.5)), models)
    found = score_pairs(rows, models, contact_cost=CONTACT)
    assert found.columns == [*[name for name in rows.columns if name not in (*SCORES, USER_PART)], *SCORES]
    got = found.toPandas()
    got["place"] = [OFFERS.index(offer) if offer else len(OFFERS) for offer in got["offer_id"]]
    return got.sort_values(["user_id", "place"]).reset_index(drop=True)


def test_randomised_rows_alone_teach_the_effect(planted: Shop, uplift: TrainedUplift) -> None:
    assert uplift.randomised == USERS * ROUNDS
    rows = planted.rows
    control = rows[rows["treatment"] == 0]["responded"].mean()
    for offer in OFFERS:
        plain = rows[rows["offer_id"] == offer]["responded"].mean() - control
        assert uplift.arms[offer].mean == pytest.approx(plain, abs=0.003)


def test_mean_effects_of_the_arms_cover_the_truth(planted: Shop, uplift: TrainedUplift) -> None:
    for place, offer in enumerate(OFFERS):
        arm = uplift.arms[offer]
        assert arm.mean == pytest.approx(planted.effects[:, place].mean(), abs=3 * arm.error)
        assert 0.002 < arm.error < 0.005
    assert uplift.arms["all"].rows == (planted.rows["treatment"] == 1).sum()


def test_effects_of_users_are_found(planted: Shop, uplift: TrainedUplift, scored: pd.DataFrame) -> None:
    assert uplift.model.effect is not None
    assert uplift.model.effect.deviations.value == pytest.approx(1, abs=0.4)
    got = scored["uplift"].to_numpy().reshape(USERS, 5)
    assert np.corrcoef(got[:, :4].ravel(), planted.effects.ravel())[0, 1] > 0.7
    assert np.sqrt(((got[:, :4] - planted.effects) ** 2).mean()) < 0.75 * planted.effects.std()
    np.testing.assert_allclose(got[:, :4].mean(axis=0), planted.effects.mean(axis=0), atol=0.01)


def test_orders_and_uses_are_worth_what_they_are(planted: Shop, scored: pd.DataFrame) -> None:
    margin = scored["order_margin"].to_numpy().reshape(USERS, 5)
    assert np.corrcoef(margin[:, 0], planted.margin)[0, 1] > 0.9
    assert margin.mean() == pytest.approx(planted.margin.mean(), rel=0.1)
    cost = scored["redemption_cost"].to_numpy().reshape(USERS, 5)
    rates = np.array([0.05, 0.20])
    np.testing.assert_allclose(cost[:, :2].mean(axis=0), rates * planted.basket.mean(), rtol=0.25)
    assert cost[:, 2].mean() == pytest.approx(3.0, rel=0.4)
    assert (cost[:, 4] == 0).all()
    after = scored["p_no_offer"] + scored["uplift"]  # 0 where an offer is expected to put the user off altogether
    used = (scored["p_redeem"] / after.where(after > 0)).to_numpy().reshape(USERS, 5)
    assert np.isfinite(used).mean() > 0.9
    np.testing.assert_allclose(np.nanmean(used[:, :3], axis=0), USED, atol=0.05)
    assert np.nanmax(used[:, 3]) < 0.05


def test_the_numbers_of_a_pair_fit_together(scored: pd.DataFrame) -> None:
    sent = (scored["kind"] != "none").astype(float)
    after = scored["p_no_offer"] + scored["uplift"]
    assert after.between(0, 1).all()
    np.testing.assert_allclose(scored["contact_cost"], CONTACT_COST * sent)
    cost = scored["p_redeem"] * scored["redemption_cost"] + scored["contact_cost"]
    np.testing.assert_allclose(scored["expected_cost"], cost, atol=1e-7)
    margin = scored["uplift"] * scored["order_margin"] - cost
    np.testing.assert_allclose(scored["expected_margin"], margin, atol=1e-6)
    nothing = scored[scored["kind"] == "none"]
    np.testing.assert_allclose(nothing["p_response"], nothing["p_no_offer"])
    assert (nothing[["uplift", "expected_margin", "expected_cost", "p_redeem"]] == 0).all(axis=None)
    assert (scored["p_deep"] == 0.5).all()


def test_choosing_by_the_scores_beats_every_single_offer(planted: Shop, scored: pd.DataFrame) -> None:
    """True margin of the best offer by the scores (or nothing), against giving all users the best single one."""
    rate = np.array([0.05, 0.20, 0.0, 0.0])
    cost = USED * (planted.basket[:, None] * rate + np.array([0, 0, 3.0, 0])) * (np.arange(4) < 3)
    true = planted.effects * planted.margin[:, None] - (planted.base[:, None] + planted.effects) * cost - CONTACT_COST
    choice = scored["expected_margin"].to_numpy().reshape(USERS, 5).argmax(axis=1)
    chosen = np.column_stack([true, np.zeros(USERS)])[np.arange(USERS), choice].sum()
    oracle = np.maximum(true, 0).max(axis=1).sum()
    assert chosen > 1.3 * max(0.0, true.sum(axis=0).max())
    assert chosen > 0.5 * oracle


def test_without_a_control_group_what_needs_one_is_null(
    spark: SparkSession, planted: Shop, settings: Settings, response: ResponseModel
) -> None:
    sent = planted.rows[planted.rows["treatment"] == 1].assign(propensity=np.nan)
    found = _uplift(spark, sent, settings, None)
    assert found.model.effect is None
    assert found.arms == {}
    models = ScoringModels(response=replace(response, label="redeemed"), base=None, uplift=found.model)
    got = score_pairs(describe_users(frame(spark, sent[:30]), models), models, contact_cost=CONTACT).toPandas()
    assert got[["p_no_offer", "uplift", "expected_margin"]].isna().all(axis=None)
    np.testing.assert_allclose(got["p_redeem"], got["p_response"])
    np.testing.assert_allclose(got["expected_cost"], got["p_redeem"] * got["redemption_cost"] + CONTACT_COST, atol=1e-7)


def test_an_offer_never_seen_is_scored_by_its_kind(
    spark: SparkSession, planted: Shop, response: ResponseModel, uplift: TrainedUplift
) -> None:
    models = ScoringModels(response=response, base=response, uplift=uplift.model)
    gift = planted.rows[planted.rows["offer_id"] == "gift"][:20]
    new = score_pairs(
        describe_users(frame(spark, gift.assign(offer_id="new")), models), models, contact_cost=CONTACT
    ).toPandas()
    odd = score_pairs(
        describe_users(frame(spark, gift.assign(offer_id="odd", kind="bundle")), models), models, contact_cost=CONTACT
    ).toPandas()
    for found in (new, odd):
        assert found[["uplift", "expected_margin", "p_redeem"]].notna().all(axis=None)
    assert new["redemption_cost"].mean() == pytest.approx(3.0, rel=0.5)


def test_too_few_buyers_are_told(spark: SparkSession, planted: Shop, settings: Settings) -> None:
    with pytest.raises(DataError, match="buyers"):
        _uplift(spark, planted.rows[:200], settings, None)
