"""Product factors by implicit ALS, judged on the last days before `as_of` by a fit that has not seen them."""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.evaluate.bootstrap import poisson_means
from offerlake.evaluate.ranking import per_user
from offerlake.features.interactions import interactions
from offerlake.job import Context, Job, main
from offerlake.recommend.als import fit, ratings
from offerlake.recommend.judged import bought_after, contenders

KS = (10,)


def run(ctx: Context) -> None:
    """Judges, then fits on everything and writes the model."""
    settings, seed = ctx.settings.recommend, ctx.settings.run.seed
    users, products = ctx.read("user_index"), ctx.read("product_index")
    judge(ctx, ctx.as_of - timedelta(days=settings.holdout_days), users, products)
    today = ctx.read("interactions").where(F.col("as_of") == F.lit(ctx.as_of))
    model = ctx.draft_model("als", settings.model_dump())
    fit(ratings(today, users, products), settings=settings, seed=seed).write().save(model.file("model"))
    ctx.publish_model(model)


def judge(ctx: Context, cut: date, users: DataFrame, products: DataFrame) -> None:
    """Notes the ranking metrics of each contender on what was bought in [cut, as_of)."""
    settings = ctx.settings.recommend
    before = interactions(
        cut,
        clicks=ctx.read("clicks"),
        order_lines=ctx.read("order_lines"),
        weights=settings.weights,
        half_life_days=settings.half_life_days,
    ).cache()
    if before.isEmpty():
        ctx.metric("recommend.ndcg@10", None)
        return
    truth = bought_after(before, ctx.read("order_lines"), cut=cut, as_of=ctx.as_of, mode=settings.mode).cache()
    found = contenders(
        truth.select("user_id").distinct(),
        before,
        cut=cut,
        user_index=users,
        product_index=products,
        settings=settings,
        seed=ctx.settings.run.seed,
    )
    for name, recommendations in found.items():
        judged, estimates = poisson_means(
            per_user(recommendations, truth, ks=KS),
            key="user_id",
            samples=ctx.settings.evaluate.bootstrap,
            seed=ctx.settings.run.seed,
        )
        for metric, estimate in estimates.items():
            ctx.metric(f"{name}.{metric}", estimate.value, low=estimate.low, high=estimate.high)
        ctx.metric(f"{name}.users", judged)


JOB = Job(
    name="train_als",
    reads=("interactions", "user_index", "product_index", "clicks", "order_lines"),
    writes=("model:als",),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
