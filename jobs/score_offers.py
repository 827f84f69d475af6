"""Scores every pair of user and offer that passes the hard rules: the table offer_scores."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake import files
from offerlake.decide.eligibility import eligible, judge_pairs, refusals
from offerlake.deep.score import FILES, DeepModel, score
from offerlake.errors import DataError
from offerlake.features.offer_context import offer_context
from offerlake.job import Context, Job, main
from offerlake.response.score import describe_users, load_models, score_pairs
from offerlake.schemas.gold import OFFER_SCORES, USER_FEATURE_COLUMNS


def run(ctx: Context) -> None:
    """Writes the slice of `as_of`; each user's numbers come from models that did not see him."""
    users = ctx.read("user_features").where(F.col("as_of") == ctx.as_of)
    offers, offer_products = ctx.read("offers"), ctx.read("offer_products")
    judged = judge_pairs(
        ctx.read("users"),
        offers,
        offer_products,
        users,
        as_of=ctx.as_of,
        settings=ctx.settings.decide,
        unknown_consent=ctx.settings.clean.unknown_consent,
    )
    counted = refusals(judged)
    if not counted["passed"]:
        told = ", ".join(f"{pairs} pairs of user and offer: {rule}" for rule, pairs in counted.items() if pairs)
        raise DataError(
            f"offers: nobody may get any of them on {ctx.as_of} ({told or 'there are none, or no users'})",
            fix="Land offers that can be used from that day on, or run another day.",
        )
    for rule, pairs in counted.items():
        ctx.metric("offers.pairs", pairs, part=f"rule={rule}")
    response, uplift = ctx.model("response"), ctx.model("uplift")
    models = load_models(ctx.spark, response=response.path, uplift=uplift.path)
    columns = ["user_id", *[column.name for column in USER_FEATURE_COLUMNS]]
    # Users are few bytes and much work: as many parts as there are cores.
    people = users.select(columns).repartition(ctx.spark.sparkContext.defaultParallelism, "user_id")
    described = offer_context(
        eligible(judged)
        .select("as_of", "user_id", "offer_id", "channel")
        .join(describe_users(people, models), on="user_id", how="inner"),
        offers=offers,
        offer_products=offer_products,
        products=ctx.read("products"),
        clicks=ctx.read("clicks"),
        order_lines=ctx.read("order_lines"),
    )
    scored, deep_run = with_deep(ctx, described)
    rows = score_pairs(scored, models, contact_cost=ctx.settings.decide.contact_cost).withColumn(
        "model_version", F.lit(f"response={response.made_by} uplift={uplift.made_by} deep={deep_run}")
    )
    ctx.count(rows_out=ctx.write("offer_scores", OFFER_SCORES.select(rows), where={"as_of": ctx.as_of}))


def with_deep(ctx: Context, pairs: DataFrame) -> tuple[DataFrame, str]:
    """Adds `p_deep` by the deep model, null where it is switched off; and the run that made the model."""
    if not ctx.settings.deep.enabled:
        return pairs.withColumn("p_deep", F.lit(None).cast("double")), "off"
    model = ctx.model("deep")
    spec, weights = (files.read_bytes(ctx.spark, model.file(name)) for name in FILES)
    return score(pairs, DeepModel.of(spec, weights)), model.made_by


JOB = Job(
    name="score_offers",
    reads=(
        "user_features", "users", "offers", "offer_products", "products", "clicks", "order_lines",
        "model:response", "model:uplift", "model:deep",
    ),
    writes=("offer_scores",),
    run=run,
)  # fmt: skip

if __name__ == "__main__":
    main(JOB)
