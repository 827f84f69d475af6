"""Product factors by implicit ALS; what they are worth is judged on the last days, by a fit that has not seen them."""

from __future__ import annotations

from datetime import timedelta
from functools import reduce

from pyspark.sql import functions as F

from offerlake.evaluate.bootstrap import poisson_means
from offerlake.evaluate.ranking import per_user
from offerlake.evaluate.selection import choose
from offerlake.holdout import READS, Holdout
from offerlake.job import Context, Job, main
from offerlake.recommend.als import fit, ratings
from offerlake.recommend.judged import contenders

KS = (10,)
METRIC = "ndcg@10"


def run(ctx: Context) -> None:
    """Judges, then fits on everything and writes the model with the weight of own purchases that was chosen."""
    settings, seed = ctx.settings.recommend, ctx.settings.run.seed
    users, products = ctx.read("user_index"), ctx.read("product_index")
    own_weight = judge(ctx)
    today = ctx.read("interactions").where(F.col("as_of") == F.lit(ctx.as_of))
    model = ctx.draft_model("als", {**settings.model_dump(mode="json"), "own_weight": own_weight})
    fit(ratings(today, users, products), settings=settings, seed=seed).write().save(model.file("model"))
    ctx.publish_model(model)


def judge(ctx: Context) -> float:
    """Notes the ranking metrics of each contender on what was bought in the holdout; returns the best weight."""
    settings, seed = ctx.settings.recommend, ctx.settings.run.seed
    cut = ctx.as_of - timedelta(days=settings.holdout_days)
    window = Holdout.of(ctx.read, cut=cut, until=ctx.as_of, settings=settings, seed=seed)
    if window is None:
        ctx.metric(f"recommend.{METRIC}", None)
        return settings.own_weights[-1]
    found, truth = contenders(window.buyers, window.stage, settings=settings), window.bought
    ours = {weight: per_user(rows, truth, ks=KS).cache() for weight, rows in found.ours.items()}
    chosen = choose(ours, metric=METRIC, default=settings.own_weights[-1], seed=seed)
    judged = {"recommend": chosen.judged} | {
        name: per_user(rows, truth, ks=KS) for name, rows in found.baselines.items()
    }
    judged.setdefault("recommend.als", ours[0.0])
    # All have the same users: side by side, so that one pass draws for all of them.
    named = [
        frame.select("user_id", *[F.col(f"`{x}`").alias(f"{name}.{x}") for x in frame.columns if x != "user_id"])
        for name, frame in judged.items()
    ]
    together = reduce(lambda left, right: left.join(right, on="user_id", how="inner"), named)
    number, means = poisson_means(together, key="user_id", samples=ctx.settings.evaluate.bootstrap, seed=seed)
    for name, mean in means.items():
        ctx.metric(name, mean.value, low=mean.low, high=mean.high)
    for name in judged:
        ctx.metric(f"{name}.users", number)
    ctx.metric("recommend.own_weight", chosen.name)
    for frame in (found.made, *ours.values()):
        frame.unpersist()
    window.unpersist()
    return chosen.name


JOB = Job(
    name="train_als",
    reads=("interactions", *READS),
    writes=("model:als",),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
