"""Product factors by implicit ALS; what they are worth is judged on the last days, by a fit that has not seen them."""

from __future__ import annotations

from datetime import date, timedelta
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.errors import MissingTableError
from offerlake.evaluate.bootstrap import poisson_groups
from offerlake.evaluate.ranking import per_user
from offerlake.evaluate.selection import choose
from offerlake.holdout import READS, Holdout, index_needs
from offerlake.job import Context, Job, main
from offerlake.recommend.als import fit, ratings
from offerlake.recommend.judged import contenders

KS = (10,)
METRIC = "ndcg@10"
_HISTORIES = ((1, "1 to 9 products"), (10, "10 to 99 products"), (100, "100 products or more"))


def run(ctx: Context) -> None:
    """Judges, then fits on everything and writes the model with the weight of own purchases that was chosen.

    Where the last fit is to stay (`recommend.refit_days`), it does neither.
    """
    settings, seed = ctx.settings.recommend, ctx.settings.run.seed
    made_of = {**settings.model_dump(mode="json"), "seed": seed}
    if (age := _age(ctx, made_of)) is not None:
        ctx.metric("recommend.fit_age_days", age)
        return
    users, products = ctx.read("user_index"), ctx.read("product_index")
    own_weight = judge(ctx)
    today = ctx.read("interactions").where(F.col("as_of") == F.lit(ctx.as_of))
    model = ctx.draft_model("als", {**made_of, "own_weight": own_weight, "as_of": ctx.as_of.isoformat()})
    fit(ratings(today, users, products), settings=settings, seed=seed).write().save(model.file("model"))
    ctx.publish_model(model)


def _age(ctx: Context, made_of: dict[str, Any]) -> int | None:
    """Days since the fit in use, where it is by the same settings and may stay."""
    try:
        former = ctx.model("als").settings
    except MissingTableError:
        return None
    if "as_of" not in former:
        return None
    age = (ctx.as_of - date.fromisoformat(former["as_of"])).days
    same = {**former, **made_of} == former
    return age if same and 0 < age <= ctx.settings.recommend.refit_days else None


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
    histories = _histories(window.stage.scorer.interactions)
    kinds = together.join(histories, on="user_id", how="left").fillna("no product", ["history"])
    groups = window.stage.scorer.groups
    by = ["history"] if groups is None else ["history", "group"]
    if groups is not None:
        kinds = kinds.join(groups, on="user_id", how="left")
    found_by = poisson_groups(kinds, key="user_id", by=by, samples=ctx.settings.evaluate.bootstrap, seed=seed)
    for (column, value), (number, means) in found_by.items():
        part = f"{column}={value}" if column else "all"
        for name, mean in means.items():
            ctx.metric(name, mean.value, low=mean.low, high=mean.high, part=part)
        for name in judged:
            ctx.metric(f"{name}.users", number, part=part)
    ctx.metric("recommend.own_weight", chosen.name)
    for frame in (found.made, *ours.values()):
        frame.unpersist()
    window.unpersist()
    return chosen.name


def _histories(before: DataFrame) -> DataFrame:
    """How many products each user had to do with before the holdout, in words: user_id, history."""
    number = F.count(F.lit(1))
    told = F.lit(_HISTORIES[0][1])
    for least, words in _HISTORIES[1:]:
        told = F.when(number >= least, F.lit(words)).otherwise(told)
    return before.groupBy("user_id").agg(told.alias("history"))


JOB = Job(
    name="train_als",
    reads=("interactions", *READS, "model:als"),
    writes=("model:als",),
    run=run,
    needs=index_needs,
)

if __name__ == "__main__":
    main(JOB)
