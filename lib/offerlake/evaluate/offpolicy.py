"""What the policy brings, estimated from randomised rows: doubly robust, by the policy that the run used.

The policy is π(x) = argmax over offers of value − λ · cost, nothing where none is above 0, at the price λ at which the
run's budget ended; holdout and exploration are no part of it. For a row with features x, the offer (or nothing) A given
with probability e(A), the margin Y, and predictions m(x, a) of the margin by models that never saw the row's user:

    ψ = m(x, π) − m(x, 0) + 1{A = π}/e(A) · (Y − m(x, π)) − 1{A = 0}/e(A) · (Y − m(x, 0)),   ψ = 0 where π is nothing

Its mean is the margin that π adds to nothing, a row (a user and one label window). It is unbiased for whatever m, since
e is known (Robins, Rotnitzky and Zhao, 1994; Dudík, Langford and Li, 2011, "Doubly robust policy evaluation and
learning"; the terms are the Γ of Zhou, Athey and Wager, 2023, for the arms π and nothing). The sum of the model's own
predictions is not: choosing the largest of noisy predictions makes it too high, the winner's curse. The scores that
choose π here are of models that did not see the user either, so his own outcomes cannot choose the arm that they judge.

A choice that was never given at random on a row's day counts as nothing, and its share is reported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.evaluate.truth import Number

_Z = NormalDist().inv_cdf(0.975)
_POWER = NormalDist().inv_cdf(0.8)


@dataclass(frozen=True)
class Estimate:
    """A mean a row, with its interval from deviations summed by user.

    Attributes:
        value: Money a row.
        low: Lower end of the 95 % interval.
        high: Upper end.
        detectable: The smallest true value that would be told from 0 with 80 % power at 5 %, two-sided.
    """

    value: float
    low: float
    high: float
    detectable: float


@dataclass(frozen=True)
class PolicyValue:
    """What the policy brings, a row.

    Attributes:
        doubly_robust: The estimate to believe.
        weighted: By inverse propensities alone, for comparison: as unbiased, wider.
        predicted: The models' own mean on the same rows: too high.
        treated: Share of rows on which the policy gives an offer that can be judged.
        unsupported: Share of rows on which it would give one that was not given at random that day.
        users: Users with randomised rows.
        rows: Randomised rows.
    """

    doubly_robust: Estimate
    weighted: Estimate
    predicted: float
    treated: float
    unsupported: float
    users: int
    rows: int


def newest_rows(examples: DataFrame, *, most: int) -> DataFrame:
    """The randomised rows of the newest days, whole days, until there are at least `most` (or all)."""
    randomised = examples.where((F.col("propensity") > 0) & (F.col("propensity") < 1))
    days = randomised.groupBy("shown_date").count().orderBy(F.desc("shown_date")).collect()
    seen, first = 0, None
    for day in days:
        if seen >= most:
            break
        seen, first = seen + day["count"], day["shown_date"]
    return randomised.where(F.col("shown_date") >= F.lit(first))


def policy_value(scored: DataFrame, *, price: float) -> PolicyValue | None:
    """Estimates the policy's value from randomised rows.

    Args:
        scored: One row for every example and every offer, scored by models that did not see the example's user:
            exposure_id, user_id, shown_date, given (the offer it got; null: nothing), propensity, margin (Y),
            nothing_margin (m(x, 0), money), offer_id, value (m(x, offer) − m(x, 0)), cost, allowed (boolean: the
            policy may give it). Rows with a propensity that is null, 0 or 1 are left out.
        price: λ of the run.

    Returns:
        None where nothing was ever given at random, or nothing at all (no control).
    """
    randomised = scored.where((F.col("propensity") > 0) & (F.col("propensity") < 1))
    totals = row_values(randomised, price=price).groupBy("user_id").agg(
        F.count("psi").alias("n"),
        *[F.sum(name).alias(name) for name in ("psi", "ips", "predicted", "treated", "unsupported", "control")],
    )  # fmt: skip
    sums = totals.agg(
        F.count("user_id").alias("users"),
        F.sum("n").alias("n"),
        F.sum(F.col("n") * F.col("n")).alias("nn"),
        *[F.sum(name).alias(name) for name in ("predicted", "treated", "unsupported", "control")],
        *[
            part
            for name in ("psi", "ips")
            for part in (
                F.sum(name).alias(name),
                F.sum(F.col(name) * F.col(name)).alias(f"{name}_2"),
                F.sum(F.col(name) * F.col("n")).alias(f"{name}_n"),
            )
        ],
    ).collect()[0].asDict()  # fmt: skip
    if not sums["n"] or not sums["control"]:
        return None
    return PolicyValue(
        doubly_robust=_estimate(sums, "psi"),
        weighted=_estimate(sums, "ips"),
        predicted=sums["predicted"] / sums["n"],
        treated=sums["treated"] / sums["n"],
        unsupported=sums["unsupported"] / sums["n"],
        users=sums["users"],
        rows=sums["n"],
    )


def numbers(value: PolicyValue | None, *, users: float) -> list[Number]:
    """What is told of it, in money for that many users; without an estimate null.

    Args:
        value: The policy's value a row.
        users: Of the run's arm `model`: a random part of the users, so the mean is theirs too.
    """
    if value is None:
        return [Number("offers.value_dr", None), Number("offers.mde", None)]

    def told(name: str, found: Estimate, scale: float) -> Number:
        return Number(name, found.value * scale, found.low * scale, found.high * scale)

    best = value.doubly_robust
    return [
        told("offers.value_dr", best, users),
        told("offers.value_dr_per_user", best, 1.0),
        told("offers.value_ips", value.weighted, users),
        Number("offers.value_predicted", value.predicted * users),
        Number("offers.mde", best.detectable * users),
        Number("offers.gain_shown", float(best.low > 0)),
        Number("offers.dr_treated", value.treated),
        Number("offers.dr_unsupported", value.unsupported),
        Number("offers.dr_rows", float(value.rows)),
        Number("offers.dr_users", float(value.users)),
    ]


def row_values(randomised: DataFrame, *, price: float) -> DataFrame:
    """One row an example: user_id, psi, ips, predicted (money) and treated, unsupported, control (0 or 1)."""
    surplus = F.col("value") - F.lit(price) * F.col("cost")
    wanted = F.col("allowed") & (F.col("value") > 0) & (surplus > 0)
    # The largest surplus, ties to the lower id.
    best = F.min_by(F.struct("offer_id", "value"), F.when(wanted, F.struct(-surplus, F.col("offer_id"))))
    support = randomised.groupBy("shown_date").agg(F.collect_set("given").alias("given_that_day"))
    chosen = (
        randomised.groupBy("exposure_id")
        .agg(
            best.alias("best"),
            *[F.any_value(name).alias(name) for name in ("user_id", "shown_date", "given", "propensity", "margin")],
            F.min("nothing_margin").alias("nothing_margin"),
        )
        .join(F.broadcast(support), on="shown_date", how="left")
    )
    wants = F.col("best.offer_id").isNotNull()
    judged = wants & F.array_contains("given_that_day", F.col("best.offer_id"))
    gain = F.when(judged, F.col("best.value")).otherwise(0.0)
    is_choice = (judged & (F.col("given") == F.col("best.offer_id"))).cast("double")
    is_choice = F.coalesce(is_choice, F.lit(0.0)) / F.col("propensity")
    is_nothing = (judged & F.col("given").isNull()).cast("double") / F.col("propensity")
    of_choice = F.col("margin") - F.col("nothing_margin") - gain
    of_nothing = F.col("margin") - F.col("nothing_margin")
    return chosen.select(
        "user_id",
        (gain + is_choice * of_choice - is_nothing * of_nothing).alias("psi"),
        ((is_choice - is_nothing) * F.col("margin")).alias("ips"),
        gain.alias("predicted"),
        _one(judged).alias("treated"),
        _one(wants & ~judged).alias("unsupported"),
        _one(F.col("given").isNull()).alias("control"),
    )


def _one(condition: Column) -> Column:
    return F.coalesce(condition, F.lit(False)).cast("int")


def _estimate(sums: dict[str, float], name: str) -> Estimate:
    """Mean of the rows; its variance by users: Σ(S_u − mean · n_u)² · U / (U − 1) / N²."""
    rows, users = sums["n"], sums["users"]
    mean = sums[name] / rows
    deviation = max(0.0, sums[f"{name}_2"] - 2 * mean * sums[f"{name}_n"] + mean * mean * sums["nn"])
    error = math.sqrt(deviation * users / max(1, users - 1)) / rows
    return Estimate(mean, mean - _Z * error, mean + _Z * error, (_Z + _POWER) * error)
