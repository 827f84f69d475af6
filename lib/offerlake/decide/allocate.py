"""The assigner: best value under one budget.

A multiple-choice knapsack: of each user's offers and nothing, one is chosen, so that the sum of values is largest and
the sum of costs stays within the budget. Solved by incremental efficiency: of each user the steps along the upper
convex hull of (cost, value), from nothing upwards, are put in order of value gained per cost added, over all users,
and taken until the budget is reached. That is the optimum of the linear relaxation but for the one step that no
longer fits (Sinha and Zoltners, 1979, "The multiple-choice knapsack problem"), so its gap is less than one step, and
it is the same as argmax(value − λ × cost) for every user at one price λ.

Costs are counted in whole millionths of a unit of money, rounded up: sums are exact whatever the order of the rows,
and never below the sum of the costs themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.decide.hull import MICRO, hull_steps, micro_budget
from offerlake.randomness import draw

_BUCKETS = 16_384
_STEPS = "user_id string, level int, offer_id string, ratio double, key bigint, spend bigint"


@dataclass(frozen=True)
class Cut:
    """Where the budget ends in the order of the steps.

    Attributes:
        price: λ, value per cost of the first step that did not fit; 0 where all fit.
        key: Steps with a larger key are taken.
        tie: Of those with the same key, steps with a tie of at least this one.
        spend: Sum of the costs taken, in money.
    """

    price: float
    key: int
    tie: int
    spend: float


def micro(cost: Column) -> Column:
    """Money (double) in whole millionths, rounded up."""
    return F.ceil(cost * F.lit(float(MICRO))).cast("bigint")


def steps(pairs: DataFrame) -> DataFrame:
    """The steps of every user along his upper hull.

    Args:
        pairs: user_id, offer_id, value (money, cost taken off), cost (money, ≥ 0); optionally spend, the cost that
            counts against the budget where it is another than the one that makes the order. Pairs whose value is null,
            not finite or not above 0 never make a step.

    Returns:
        user_id, level (from 0), offer_id (what the user has after the step), ratio (value per cost of the step,
        falling with the level; infinite for a step that costs nothing), key (bigint in the order of ratio), spend
        (bigint, what the step adds in millionths), tie (bigint by user).
    """
    spend = F.col("spend") if "spend" in pairs.columns else F.col("cost")
    pair = F.struct("offer_id", "value", "cost", micro(spend).alias("spend"))
    grouped = (
        pairs.where((F.col("value") > 0) & (F.col("value") < F.lit(float("inf"))))
        .groupBy("user_id")
        .agg(F.sort_array(F.collect_list(pair)).alias("pairs"))
    )
    return grouped.mapInArrow(_step_batches, _STEPS).withColumn("tie", tie())


def tie() -> Column:
    """A user's place among equals: a hash of his id, 63 bits, never negative, so that differences do not overflow."""
    return F.shiftrightunsigned(draw(0, "tie", F.col("user_id")), 1)


def cut(taken: DataFrame, budget: float) -> Cut:
    """Finds how far down the order the budget reaches: exactly, and without collecting or sorting rows.

    Each pass sums the costs in at most 16,384 buckets of the key on the cluster, and goes on in the bucket in which
    the budget ends; then likewise over the ties of one key. Persist `taken` before: it is passed over three to six
    times.

    Args:
        taken: Steps (see `steps`): key, tie, ratio, spend.
        budget: Money, ≥ 0.
    """
    left = micro_budget(budget)
    key, spent, fits = _search(taken, "key", left)
    if fits:
        return Cut(price=0.0, key=-1, tie=0, spend=spent / MICRO)
    edge = taken.where(F.col("key") == key)
    tie, more, _ = _search(edge, "tie", left - spent)
    price = edge.agg(F.max("ratio")).collect()[0][0]
    return Cut(price=float(price), key=key, tie=tie + 1, spend=(spent + more) / MICRO)


def choices(steps: DataFrame, edge: Cut) -> DataFrame:
    """What each user gets: the highest of his steps that are taken. One row a user who gets anything.

    Returns:
        user_id, offer_id.
    """
    is_taken = (F.col("key") > edge.key) | ((F.col("key") == edge.key) & (F.col("tie") >= edge.tie))
    return steps.where(is_taken).groupBy("user_id").agg(F.max_by("offer_id", "level").alias("offer_id"))


def _search(rows: DataFrame, column: str, budget: int) -> tuple[int, int, bool]:
    """The largest value of `column` that no longer fits when rows are taken from the largest value down.

    Returns:
        That value, the spend of the rows above it, and True where everything fits (the value is then −1).
    """
    low, high, total = rows.agg(F.min(column), F.max(column), F.sum("spend")).collect()[0]
    if total is None or total <= budget:
        return -1, int(total or 0), True
    spent = 0
    while low < high:
        width = -(-(high - low + 1) // _BUCKETS)
        bucket = F.expr(f"({high}L - `{column}`) div {width}L")
        sums = (
            rows.where(F.col(column).between(low, high))
            .groupBy(bucket.alias("bucket"))
            .agg(F.min(column).alias("low"), F.max(column).alias("high"), F.sum("spend").alias("spend"))
            .collect()
        )
        for row in sorted(sums, key=lambda row: int(row["bucket"])):
            low, high = row["low"], row["high"]
            if spent + row["spend"] > budget:
                break
            spent += row["spend"]
    return int(high), spent, False


def _step_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    schema = pa.schema(
        [
            ("user_id", pa.string()), ("level", pa.int32()), ("offer_id", pa.string()), ("ratio", pa.float64()),
            ("key", pa.int64()), ("spend", pa.int64()),
        ]
    )  # fmt: skip
    for batch in batches:
        lists = batch.column("pairs")
        flat = lists.flatten()
        counts = np.diff(lists.offsets.to_numpy())
        user = np.repeat(np.arange(len(counts)), counts)
        place = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = (len(counts), int(counts.max(initial=0)))
        value, cost = np.full(shape, -np.inf), np.full(shape, np.inf)
        spend = np.zeros(shape, dtype=np.int64)
        value[user, place] = flat.field("value").to_numpy(zero_copy_only=False)
        cost[user, place] = flat.field("cost").to_numpy(zero_copy_only=False)
        spend[user, place] = flat.field("spend").to_numpy(zero_copy_only=False)
        made = hull_steps(value, cost, spend)
        first = (np.cumsum(counts) - counts)[made.user]
        columns = [
            batch.column("user_id").take(pa.array(made.user)),
            pa.array(made.level, pa.int32()),
            flat.field("offer_id").take(pa.array(first + made.offer)),
            pa.array(made.ratio),
            # The bits of a positive double, read as an integer, are in the order of the doubles.
            pa.array(made.ratio.view(np.int64)),
            pa.array(made.spend),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
