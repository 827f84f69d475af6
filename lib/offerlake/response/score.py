"""Scores of pairs of user and offer: probabilities, effect and money, each from models that did not see the user."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from offerlake.response.design import BASE, offer_content, user_content
from offerlake.response.features import matrix
from offerlake.response.models import ResponseModel, read_text
from offerlake.response.uplift import OUTCOME, UPLIFT_FILE, UpliftModel, contact_cost_of

SCORES = (
    "p_response", "p_no_offer", "p_redeem", "uplift", "order_margin", "redemption_cost", "contact_cost",
    "expected_margin", "expected_cost",
)  # fmt: skip
"""The columns of a score, as in the table `offer_scores`; p_no_offer is there before `score_pairs`."""

USER_PART = "user_part"
_MONEY = 2  # of its numbers, those before `Design.user_effects`
_DIGITS = 9


@dataclass(frozen=True)
class ScoringModels:
    """What scoring needs.

    Attributes:
        response: P(label | offer).
        base: P(responded | nothing); None without a control group. The same as `response` where that is the label.
        uplift: The effect and the money.
    """

    response: ResponseModel
    base: ResponseModel | None
    uplift: UpliftModel


def load_models(spark: SparkSession, *, response: str, uplift: str) -> ScoringModels:
    """Reads the models from their folders.

    Args:
        spark: The session.
        response: Folder (URI) of the model `response`; it has one folder a label.
        uplift: Folder of the model `uplift`.
    """
    money = UpliftModel.of(json.loads(read_text(spark, f"{uplift}/{UPLIFT_FILE}")))
    own = ResponseModel.load(spark, f"{response}/{money.label}")
    base = own
    if money.label != OUTCOME and money.effect is not None:
        base = ResponseModel.load(spark, f"{response}/{OUTCOME}")
    return ScoringModels(response=own, base=base if money.effect is not None else None, uplift=money)


def describe_users(users: DataFrame, models: ScoringModels) -> DataFrame:
    """Adds what all offers of a user share, so that it is worked out once, before they come in.

    Args:
        users: user_id and the USER_FEATURE_COLUMNS; a user may have several rows, of several days.
        models: From `load_models`.

    Returns:
        users with p_no_offer, P(responded | nothing), null without a control group; and `USER_PART` (array<double>):
        margin and net amount of an order in money, then `Design.user_effects`.
    """
    if models.base is None:
        based = users.withColumn(BASE, F.lit(None).cast("double"))
    else:
        based = models.base.predict_nothing(users, column=BASE)
    uplift = models.uplift

    @F.arrow_udf("array<double>")  # type: ignore[attr-defined,untyped-decorator]
    def part(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for batch in batches:
            yield _user_part(uplift, batch)

    return based.withColumn(
        USER_PART, part(F.struct(user_content().alias("row"), models.response.fold().alias("fold")))
    )


def score_pairs(pairs: DataFrame, models: ScoringModels, *, contact_cost: Mapping[str, float]) -> DataFrame:
    """Adds what is expected of each pair of user and offer, cross-fitted: all of it from models without that user.

    With p₀ = P(responded | nothing), τ the effect, m the margin of an order at full price, r = P(uses it | buys), c the
    cost of a use, k the cost of the message:

        uplift = τ, held so that p₀ + τ is a probability          p_redeem = (p₀ + τ) · r
        expected_cost = p_redeem · c + k
        expected_margin = (p₀ + τ) · (m − c · r) − p₀ · m − k = uplift · m − expected_cost

    Without a control group p_no_offer, uplift and expected_margin are null; p_redeem is then p_response if that is what
    the label says, else p_response · r. A pair with nothing (kind `none`) has uplift, costs and margin 0.

    Args:
        pairs: user_id, offer_id (null: nothing), the USER_FEATURE_COLUMNS, what `describe_users`
            adds, and the OFFER_CONTEXT_COLUMNS; further columns are kept, rows may repeat.
        models: From `load_models`.
        contact_cost: Money a message, by channel (`decide.contact_cost`); that of the column `channel` counts.

    Returns:
        pairs without `USER_PART`, with `SCORES`, doubles rounded to 9 digits after the point.
    """
    kept = [name for name in pairs.columns if name == BASE or name not in SCORES]
    scored = models.response.predict(pairs.select(kept), column="p_response")
    return value_pairs(scored, models, contact_cost=contact_cost)


def value_pairs(scored: DataFrame, models: ScoringModels, *, contact_cost: Mapping[str, float]) -> DataFrame:
    """The effect and the money of pairs whose probabilities are known: the second half of `score_pairs`.

    Args:
        scored: As `pairs` of `score_pairs`, with p_response (double, may be null: what rests on it then is null too).
        models: From `load_models`.
        contact_cost: As in `score_pairs`.

    Returns:
        As `score_pairs`.
    """
    kept = [name for name in scored.columns if name not in SCORES and name != USER_PART]
    scored = scored.withColumn("_money", _priced(models))
    sent = F.col("kind") != "none"
    own, base, used = F.col("p_response"), F.col(BASE), F.col("_money.used")
    # greatest and least pass over null: what is not known has to stay null.
    held = F.greatest(F.lit(0.0), F.least(F.lit(1.0), base + F.col("_money.uplift")))
    with_offer = F.when(base.isNotNull(), held)
    redeem = own if models.response.label == "redeemed" else own * used
    columns = {
        "contact_cost": F.when(sent, contact_cost_of(contact_cost)).otherwise(0.0),
        "order_margin": F.col("_money.order_margin"),
        "redemption_cost": F.col("_money.redemption_cost"),
        "uplift": F.when(base.isNotNull(), F.when(sent, with_offer - base).otherwise(0.0)),
        "p_redeem": F.when(sent, F.coalesce(with_offer * used, redeem)).otherwise(0.0),
    }
    priced = scored.withColumns(columns)
    cost = F.col("p_redeem") * F.col("redemption_cost") + F.col("contact_cost")
    valued = priced.withColumns(
        {
            "p_response": F.when(~sent, F.coalesce(base, own)).otherwise(own),
            "expected_margin": F.when(base.isNotNull(), F.col("uplift") * F.col("order_margin") - cost),
            "expected_cost": cost,
        }
    )
    return valued.select(*kept, *[F.round(F.col(name), _DIGITS).alias(name) for name in SCORES])


def _user_part(model: UpliftModel, batch: pa.StructArray) -> pa.ListArray:
    fold, design = np.asarray(batch.field("fold")), model.design
    result = np.zeros((len(batch), _MONEY + design.crossed))
    for number, worth in enumerate(model.worth):
        at = np.flatnonzero(fold == number)
        row = batch.field("row").take(pa.array(at))
        users = design.users(row)
        result[at, :_MONEY] = np.column_stack(worth.order(design, row, users))
        if model.effect is not None:
            result[at, _MONEY:] = design.user_effects(users, model.effect.coefficients[number])
    return pa.ListArray.from_arrays(np.arange(len(batch) + 1, dtype=np.int32) * result.shape[1], result.ravel())


def _priced(models: ScoringModels) -> Column:
    """The effect, the margin of an order, the cost of a use and P(uses it | buys), as a struct."""
    model = models.uplift

    @F.arrow_udf("uplift double, order_margin double, redemption_cost double, used double")  # type: ignore[attr-defined,untyped-decorator]
    def priced(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        for batch in batches:
            yield _priced_batch(model, batch)

    fold = models.response.fold().alias("fold")
    return cast("Column", priced(F.struct(offer_content().alias("row"), F.col(USER_PART).alias("user"), fold)))


def _priced_batch(model: UpliftModel, batch: pa.StructArray) -> pa.StructArray:
    fold, design = np.asarray(batch.field("fold")), model.design
    users = matrix(batch.field("user"), _MONEY + design.crossed)
    result = np.zeros((4, len(batch)))
    for number, worth in enumerate(model.worth):
        at = np.flatnonzero(fold == number)
        row = batch.field("row").take(pa.array(at))
        margin, value = users[at, :_MONEY].T
        terms = design.offer_terms(row)
        used, cost = worth.use(design, row, terms, value)
        effect = np.zeros(len(at))
        if model.effect is not None:
            effect = design.effect(users[at, _MONEY:], terms, model.effect.coefficients[number])
        result[:, at] = np.stack([effect, margin, cost, used])
    names = ["uplift", "order_margin", "redemption_cost", "used"]
    return pa.StructArray.from_arrays([pa.array(part) for part in result], names=names)
