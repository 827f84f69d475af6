"""Says what the assignment brings: from randomised rows, and on a test shop from its truth. The quality gate."""

from __future__ import annotations

from itertools import chain

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.decide.hull import assign_here
from offerlake.decide.value import pair_value
from offerlake.errors import GateError
from offerlake.evaluate import offpolicy, oracle
from offerlake.evaluate.totals import by_arm, totals
from offerlake.evaluate.truth import Number
from offerlake.features.offer_context import OF_USER, offer_context
from offerlake.job import Context, Job, main
from offerlake.parallel import both
from offerlake.response.score import USER_PART, describe_users, load_models, value_pairs
from offerlake.schemas.gold import USER_FEATURE_COLUMNS


def run(ctx: Context) -> None:
    """Writes the metrics offers.*, on a test shop oracle_share.* and published.*; stops at the gate."""
    rows = ctx.read("user_offers").where((F.col("as_of") == ctx.as_of) & (F.col("run_id") == ctx.run_id))
    sums = totals(rows)
    for number, part in by_arm(sums):
        ctx.metric(number.name, number.value, part=part)
    ctx.metric("offers.value_model", sums["model"]["value"])
    known = _numbers(ctx)

    def estimated() -> list[Number]:
        value = _policy_value(ctx, known.get("offers.price"))
        return offpolicy.numbers(value, users=sums["model"]["users"])

    def true() -> list[Number]:
        truth = ctx.settings.evaluate.truth
        return [] if truth is None else _truth(ctx, rows, f"{truth.rstrip('/')}/outcomes")

    for number in chain(*both(estimated, true)):
        ctx.metric(number.name, number.value, low=number.low, high=number.high)
    auc = known.get("response.auc")
    passed = auc is not None and auc >= ctx.settings.evaluate.min_auc
    ctx.metric("gate.passed", float(passed))
    if ctx.settings.evaluate.gate and not passed:
        ctx.flush_metrics()
        raise GateError(
            f"setting evaluate.min_auc: {ctx.settings.evaluate.min_auc}, response.auc is {auc}",
            fix="Look at the report before lowering it: the model orders users little better than chance.",
        )


def _numbers(ctx: Context) -> dict[str, float | None]:
    """Metrics of this run that other jobs wrote."""
    wanted = F.col("name").isin("offers.price", "response.auc") & (F.col("slice") == "all")
    found = ctx.read("metrics").where((F.col("run_id") == ctx.run_id) & wanted).select("name", "value").collect()
    return {row["name"]: row["value"] for row in found}


def _scores(ctx: Context) -> DataFrame:
    return ctx.read("offer_scores").where(F.col("as_of") == ctx.as_of)


def _policy_value(ctx: Context, price: float | None) -> offpolicy.PolicyValue | None:
    examples = offpolicy.newest_rows(ctx.read("examples"), most=ctx.settings.evaluate.max_rows)
    if price is None or examples.isEmpty():
        return None
    shown = examples.select(
        "exposure_id", "user_id", F.col("shown_date").alias("as_of"), F.col("offer_id").alias("given"), "propensity",
        "margin", *[column.name for column in USER_FEATURE_COLUMNS],
    )  # fmt: skip
    models = load_models(ctx.spark, response=ctx.model("response").path, uplift=ctx.model("uplift").path)
    if models.base is None:
        return None
    people = describe_users(shown, models).select(
        "exposure_id", "user_id", "as_of", "given", "propensity", "margin", "p_no_offer", USER_PART, *OF_USER
    )
    pairs = people.join(_scores(ctx).select("user_id", "offer_id", "channel"), on="user_id", how="left")
    tables = {name: ctx.read(name) for name in ("offers", "offer_products", "products", "clicks", "order_lines")}
    described = offer_context(pairs, **tables).withColumn("p_response", F.lit(None).cast("double"))
    scored = value_pairs(described, models, contact_cost=ctx.settings.decide.contact_cost)
    return offpolicy.policy_value(
        scored.select(
            "exposure_id", "user_id", F.col("as_of").alias("shown_date"), "given", "propensity", "margin",
            (F.col("p_no_offer") * F.col("order_margin")).alias("nothing_margin"), "offer_id",
            F.col("expected_margin").alias("value"), F.col("expected_cost").alias("cost"),
            F.col("offer_id").isNotNull().alias("allowed"),
        ),
        price=price,
    )  # fmt: skip


def _truth(ctx: Context, rows: DataFrame, outcomes: str) -> list[Number]:
    randomised = ctx.read("examples")
    users, profiles = (ctx.read(name).where(F.col("as_of") == ctx.as_of) for name in ("user_features", "user_profiles"))
    return oracle.oracle_numbers(
        _scores(ctx).withColumn("value", pair_value()),
        ctx.spark.read.parquet(outcomes),
        users.join(profiles, on=["as_of", "user_id"], how="left"),
        rows,
        arms=oracle.arm_means(randomised),
        old_rule=oracle.rule_offer(randomised, policy="old_rule"),
        assign=assign_here,
        samples=ctx.settings.evaluate.bootstrap,
        seed=ctx.settings.run.seed,
    )


JOB = Job(
    name="evaluate",
    reads=(
        "user_offers", "offer_scores", "examples", "user_features", "user_profiles", "offers", "offer_products",
        "products", "clicks", "order_lines", "metrics", "model:response", "model:uplift",
    ),
    writes=("metrics",),
    run=run,
)  # fmt: skip

if __name__ == "__main__":
    main(JOB)
