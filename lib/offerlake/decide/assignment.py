"""The rows of `user_offers`: every user's arm, choice and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.config import DecideSettings
from offerlake.decide.allocate import Cut, choices, cut, steps
from offerlake.decide.eligibility import newest, roster
from offerlake.decide.explore import Exploration, arm, draws, fit_exploration, propensity
from offerlake.decide.limits import remaining, rooms, tighten, within
from offerlake.decide.products import products_shown
from offerlake.decide.value import pair_value
from offerlake.schemas import table
from offerlake.windows import midnight

POLICY_VERSION = "hull-1"
"""The assigner of `allocate`, with the holdout and the exploration of `explore`."""


@dataclass(frozen=True)
class Catalogue:
    """What is known of users and offers, all versions, redemptions, and the day's candidates."""

    users: DataFrame
    offers: DataFrame
    redemptions: DataFrame
    candidates: DataFrame


@dataclass(frozen=True)
class Assignment:
    """Rows of `user_offers`, how much exploration there was, and where the budget ended."""

    rows: DataFrame
    exploration: Exploration
    edge: Cut


def assign(
    scores: DataFrame,
    catalogue: Catalogue,
    *,
    as_of: date,
    run_id: str,
    seed: int,
    settings: DecideSettings,
    unknown_consent: bool,
) -> Assignment:
    """Chooses for every user, and says why.

    Exploration's spend is reserved first; the model has the rest of the budget. What the model would have chosen is
    known for holdout users and explorers too (the same price λ), and goes into their propensity.

    Args:
        scores: The table `offer_scores` as of `as_of`: the pairs that pass the hard rules.
        catalogue: Users, offers, redemptions and candidates.
        as_of: The UTC day; all rows are valid from its 00:00.
        run_id: The run.
        seed: `run.seed`.
        settings: Section `decide`.
        unknown_consent: What a missing consent counts as (`clean.unknown_consent`).
    """
    pairs = scores.select(
        "user_id", "offer_id", pair_value().alias("value"), F.col("expected_cost").alias("cost"), "p_redeem"
    )
    people = roster(catalogue.users, as_of=as_of, unknown_consent=unknown_consent)
    offers = newest(catalogue.offers, key="offer_id", as_of=as_of)
    left = remaining(offers, catalogue.redemptions, as_of=as_of)
    if used_up := [offer for offer, uses in left.items() if not uses]:
        pairs = pairs.where(~F.col("offer_id").isin(used_up))
    drawn = draws(people.select("user_id"), pairs, as_of=as_of, seed=seed, settings=settings)
    exploration = fit_exploration(drawn, settings=settings)
    staged = drawn.withColumn("arm", arm(exploration))
    explored = staged.where(F.col("arm") == "explore").select("user_id", F.col("explore_offer_id").alias("offer_id"))
    expected = explored.join(pairs, on=["user_id", "offer_id"], how="inner")
    room = rooms(left, expected)
    model = _model_choices(pairs, staged, room, budget=max(0.0, settings.budget - exploration.spend))
    edge = model.edge
    chosen = (
        staged.join(model.chosen.withColumnRenamed("offer_id", "model_offer_id"), on="user_id", how="left")
        .withColumn("offer_id", _choice())
        .withColumn("propensity", propensity(holdout_share=settings.holdout_share, explore_share=exploration.share))
    )
    rows = _described(chosen, scores, model.steps, people, offers, as_of=as_of, settings=settings)
    rows = (
        rows.join(F.broadcast(offers.select("offer_id", "scope")), on="offer_id", how="left")
        .join(catalogue.candidates.select("user_id", "items", "scoped"), on="user_id", how="left")
        .withColumn("product_ids", products_shown(settings.products))
        .withColumn("run_id", F.lit(run_id))
        .withColumn("rank", F.lit(1))
        .withColumn("assignment_id", F.substring(F.sha2(F.concat_ws("|", "run_id", "user_id", "rank"), 256), 1, 32))
        .withColumn("reasons", F.array_compact(_reasons(settings, exploration, edge)))
    )
    return Assignment(rows=table("user_offers").select(rows), exploration=exploration, edge=edge)


@dataclass(frozen=True)
class _Model:
    """The model's choice for every user (user_id, offer_id), the steps it was taken from, and where they ended."""

    chosen: DataFrame
    steps: DataFrame
    edge: Cut


def _model_choices(pairs: DataFrame, staged: DataFrame, room: Mapping[str, float], *, budget: float) -> _Model:
    """Chooses within the budget; once more where that would use an offer more often than it may be.

    Only users of the arm `model` count against budget and limits; the choices are made for all.
    """
    model_users = staged.where(F.col("arm") == "model").select("user_id")
    made = _priced(pairs, model_users, budget=budget)
    for last in (False, True) if room else ():
        given = made.chosen.join(pairs, on=["user_id", "offer_id"], how="inner")
        limits = tighten(given.join(model_users, on="user_id", how="left_semi"), room, price=made.edge.price)
        if limits and last:
            # Those who still have too much of an offer get nothing, so that this ends.
            kept = given.where(within(limits)).select("user_id", "offer_id")
            return _Model(kept, made.steps, made.edge)
        if limits:
            pairs = pairs.where(within(limits))
            made = _priced(pairs, model_users, budget=budget)
    return made


def _priced(pairs: DataFrame, model_users: DataFrame, *, budget: float) -> _Model:
    all_steps = steps(pairs)
    taken = all_steps.join(model_users, on="user_id", how="left_semi").persist()
    try:
        edge = cut(taken, budget)
    finally:
        taken.unpersist()
    return _Model(choices(all_steps, edge), all_steps, edge)


def _choice() -> Column:
    explored = F.when(F.col("arm") == "explore", F.col("explore_offer_id"))
    return F.when(F.col("arm") == "model", F.col("model_offer_id")).otherwise(explored)


def _described(
    chosen: DataFrame,
    scores: DataFrame,
    all_steps: DataFrame,
    people: DataFrame,
    offers: DataFrame,
    *,
    as_of: date,
    settings: DecideSettings,
) -> DataFrame:
    """The choice with its scores, its offer and what the reasons need."""
    start, end = midnight(as_of), midnight(as_of + timedelta(days=settings.valid_days))
    terms = offers.select("offer_id", "kind", "depth", "valid_to")
    scored = scores.select(
        "user_id", "offer_id", "channel", "p_response", "p_redeem", "uplift", "expected_cost",
        pair_value().alias("expected_value"),
    )  # fmt: skip
    of_user = scores.groupBy("user_id").agg(
        F.min("p_no_offer").alias("p_no_offer"),
        F.min("model_version").alias("model_version"),
        F.min(F.when(F.col("uplift").isNull(), 1)).alias("no_control"),
        F.max(pair_value()).alias("best_value"),
    )
    best_ratio = all_steps.where(F.col("level") == 0).select("user_id", F.col("ratio").alias("best_ratio"))
    nothing = F.col("offer_id").isNull()
    return (
        chosen.join(people, on="user_id", how="inner")
        .join(of_user, on="user_id", how="left")
        .join(best_ratio, on="user_id", how="left")
        .join(scored, on=["user_id", "offer_id"], how="left")
        .join(F.broadcast(terms), on="offer_id", how="left")
        .withColumns(
            {
                "as_of": F.lit(as_of),
                "kind": F.coalesce("kind", F.lit("none")),
                "valid_from": F.lit(start),
                "valid_to": F.least(F.lit(end), F.coalesce("valid_to", F.lit(end))),
                "p_response": F.when(nothing, F.col("p_no_offer")).otherwise(F.col("p_response")),
                "p_redeem": F.coalesce("p_redeem", F.lit(0.0)),
                "uplift": F.when(nothing & F.col("no_control").isNull(), F.lit(0.0)).otherwise(F.col("uplift")),
                "expected_value": F.coalesce("expected_value", F.lit(0.0)),
                "expected_cost": F.coalesce("expected_cost", F.lit(0.0)),
                "policy_version": F.lit(POLICY_VERSION),
            }
        )
    )


def _reasons(settings: DecideSettings, exploration: Exploration, edge: Cut) -> Column:
    """Short codes, each with its number: `code=number`, most telling first."""

    def number(code: str, value: Column) -> Column:
        return F.when(value.isNotNull(), F.format_string(f"{code}=%.4f", value))

    has_offer, arm_is = F.col("offer_id").isNotNull(), F.col("arm")
    price = number("price", F.lit(edge.price))
    offer = [
        number("value", F.col("expected_value")),
        number("cost", F.col("expected_cost")),
        number("uplift", F.col("uplift")),
        number("p_redeem", F.col("p_redeem")),
    ]
    return (
        F.when(arm_is == "holdout", F.array(number("holdout", F.lit(settings.holdout_share))))
        .when(~F.col("marketing"), F.array(F.lit("no_marketing_consent=1")))
        .when(~F.col("profiling"), F.array(F.lit("no_profiling_consent=1")))
        .when(F.col("options") == 0, F.array(F.lit("eligible_offers=0")))
        .when((arm_is == "explore") & has_offer, F.array(_explored(exploration), *offer))
        .when(arm_is == "explore", F.array(_explored(exploration)))
        .when(has_offer, F.array(*offer, price))
        .when(F.col("best_value") <= 0, F.array(number("best_value", F.col("best_value"))))
        .when(F.coalesce(F.col("best_ratio") > F.lit(edge.price), F.lit(True)), F.array(F.lit("offers_used_up=1")))
        .otherwise(F.array(number("value_per_cost", F.col("best_ratio")), price))
    )


def _explored(exploration: Exploration) -> Column:
    return F.format_string("explore=%.4f", F.lit(exploration.share) / (F.col("options") + 1))
