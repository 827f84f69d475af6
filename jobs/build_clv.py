"""What customers will buy and be worth: judged on the last days, then fitted on all: model clv, table user_value."""

from __future__ import annotations

import json
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake import files
from offerlake.evaluate.customer_value import BOOSTED, MODEL, column, judged, past_rate
from offerlake.job import Context, Job, main
from offerlake.schemas.value import USER_VALUE
from offerlake.value.boosted import Boosted, predict, train
from offerlake.value.clv import MODEL_FILE, ClvModel, fit, score
from offerlake.value.histories import outcomes, summary


def run(ctx: Context) -> None:
    """Writes the slice of `as_of`: everybody who had bought before it; nobody, and no model, where none had."""
    settings = ctx.settings.clv
    cut = ctx.as_of - timedelta(days=settings.holdout_days)
    days = ctx.read("user_days")
    customers, before = summary(ctx.as_of, days).cache(), summary(cut, days).cache()
    judge(ctx, days, before, cut)
    model = fit(customers, most=settings.max_groups)
    if model is None:
        ctx.metric("clv.users", 0)
        empty = ctx.spark.createDataFrame([], USER_VALUE.struct)
        ctx.write("user_value", empty, where={"as_of": ctx.as_of})
        customers.unpersist()
        before.unpersist()
        return
    draft = ctx.draft_model("clv", settings.model_dump(mode="json"))
    files.write_bytes(ctx.spark, draft.file(MODEL_FILE), json.dumps(model.as_dict(), indent=1).encode())
    tell(ctx, model)
    boosted = taught(ctx, days, before, cut, ctx.as_of)
    if boosted is not None:
        boosted.save(ctx.spark, draft.file)
    ctx.publish_model(draft)
    scored = with_boosted(score(customers, model, settings=settings), boosted, "next_value_boosted")
    rows = scored.withColumns({"as_of": F.lit(ctx.as_of), "model_version": F.lit(draft.made_by)})
    ctx.count(rows_out=ctx.write("user_value", USER_VALUE.select(rows), where={"as_of": ctx.as_of}))
    for frame in (customers, before):
        frame.unpersist()


def judge(ctx: Context, days: DataFrame, before: DataFrame, cut: date) -> None:
    """Notes how well the holdout was foreseen by models that did not see it."""
    settings = ctx.settings.clv
    model = fit(before, most=settings.max_groups)
    if model is None:
        return
    earlier = cut - timedelta(days=settings.holdout_days)
    boosted = taught(ctx, days, summary(earlier, days), earlier, cut)
    names = {"purchases": "next_purchases"} | ({} if model.value is None else {"money": "next_value"})
    foreseen = past_rate(score(before, model, settings=settings), days=settings.holdout_days)
    foreseen = foreseen.withColumns({column(MODEL, what): F.col(name) for what, name in names.items()})
    if boosted is not None:
        foreseen = with_boosted(foreseen, boosted, column(BOOSTED, "money"))
    came = outcomes(before, days, cut=cut, as_of=ctx.as_of)
    together = foreseen.join(came, on="user_id", how="inner").cache()
    for number in judged(together, samples=ctx.settings.evaluate.bootstrap, seed=ctx.settings.run.seed):
        ctx.metric(number.name, number.value, low=number.low, high=number.high)
    together.unpersist()


def taught(ctx: Context, days: DataFrame, customers: DataFrame, start: date, end: date) -> Boosted | None:
    """Boosted trees that learnt from what was spent in [start, end); None: not wanted, or too few customers."""
    if not ctx.settings.clv.boosted:
        return None
    labelled = customers.join(outcomes(customers, days, cut=start, as_of=end), on="user_id", how="inner")
    return train(labelled, settings=ctx.settings.clv, seed=ctx.settings.run.seed)


def with_boosted(customers: DataFrame, model: Boosted | None, name: str) -> DataFrame:
    """Adds what boosted trees foresee; null without them."""
    if model is None:
        return customers.withColumn(name, F.lit(None).cast("double"))
    return predict(customers, model, column=name)


def tell(ctx: Context, model: ClvModel) -> None:
    """Notes the parameters, and those that the data do not tell."""
    ctx.metric("clv.users", model.purchases.customers)
    ctx.metric("clv.grain_days", model.grain_days)
    ctx.metric("clv.log_likelihood", model.purchases.log_likelihood)
    ctx.metric("clv.money_correlation", model.correlation)
    for name, (value, identified) in model.parameters.items():
        ctx.metric("clv.parameter", value, part=f"name={name}")
        ctx.metric("clv.identified", float(identified), part=f"name={name}")


JOB = Job(
    name="build_clv",
    reads=("user_days",),
    writes=("user_value", "model:clv"),
    run=run,
    when=lambda settings: settings.clv.enabled,
)

if __name__ == "__main__":
    main(JOB)
