"""Looks for better settings of ALS on the past; what is found is a model, `als_search`, and in `metrics`."""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.config import RecommendSettings, Settings
from offerlake.evaluate.bootstrap import Estimate, poisson_means
from offerlake.evaluate.ranking import per_user
from offerlake.evaluate.selection import choose
from offerlake.holdout import READS, Holdout, index_needs
from offerlake.job import Context, Job, Need, main
from offerlake.recommend.judged import contenders
from offerlake.recommend.search import SCALED, WHOLE, search

METRIC = "ndcg@10"


def run(ctx: Context) -> None:
    """Tries settings on the window before the last; the best and the present ones meet on the last, which saw none."""
    settings = ctx.settings.recommend
    last = ctx.as_of - timedelta(days=settings.holdout_days)

    def worth(number: int, tried: RecommendSettings) -> float | None:
        judged = _judged(ctx, tried, cut=last - timedelta(days=settings.holdout_days), until=last)
        found = _mean(ctx, judged)
        ctx.metric(f"recommend.search.{METRIC}", found.value, low=found.low, high=found.high, part=f"trial={number}")
        for name in (*WHOLE, *SCALED):
            ctx.metric(f"recommend.search.{name}", getattr(tried, name), part=f"trial={number}")
        judged.unpersist()
        return found.value

    best = search(settings, worth, seed=ctx.settings.run.seed)
    for name in (*WHOLE, *SCALED):
        ctx.metric(f"recommend.search.best.{name}", getattr(best, name))
    now, then = (_judged(ctx, tried, cut=last, until=ctx.as_of) for tried in (settings, best))
    gain = now.withColumnRenamed(METRIC, "now").join(then, on="user_id", how="inner")
    found = _mean(ctx, gain.select("user_id", (F.col(f"`{METRIC}`") - F.col("now")).alias(METRIC)))
    ctx.metric("recommend.search.gain", found.value, low=found.low, high=found.high)
    now.unpersist()
    then.unpersist()
    ctx.publish_model(ctx.draft_model("als_search", best.model_dump(mode="json")))


def _judged(ctx: Context, tried: RecommendSettings, *, cut: date, until: date) -> DataFrame:
    """The metric of every user who bought in [cut, until), by candidates as of `cut`: user_id, ndcg@10 (cached)."""
    seed = ctx.settings.run.seed
    window = Holdout.of(ctx.read, cut=cut, until=until, settings=tried, seed=seed)
    if window is None:
        return ctx.spark.createDataFrame([], f"user_id string, `{METRIC}` double")
    found, truth = contenders(window.buyers, window.stage, settings=tried), window.bought
    ways = {weight: per_user(rows, truth, ks=(10,)).cache() for weight, rows in found.ours.items()}
    chosen = choose(ways, metric=METRIC, default=tried.own_weights[-1], seed=seed).judged
    judged = chosen.select("user_id", f"`{METRIC}`").cache()
    judged.count()  # so that what it is made of can go
    for frame in (found.made, *ways.values()):
        frame.unpersist()
    window.unpersist()
    return judged


def _mean(ctx: Context, judged: DataFrame) -> Estimate:
    samples, seed = ctx.settings.evaluate.bootstrap, ctx.settings.run.seed
    return poisson_means(judged, key="user_id", samples=samples, seed=seed)[1][METRIC]


def _needs(settings: Settings) -> tuple[Need, ...]:
    why = f"recommend.search.trials is {settings.recommend.search.trials}, and "
    return (
        *index_needs(settings),
        Need("optuna", 'Run pip install "offerlake[tune]", or set recommend.search.trials=0.', why),
    )


JOB = Job(
    name="tune_als",
    reads=READS,
    writes=("model:als_search",),
    run=run,
    when=lambda settings: settings.recommend.search.trials > 0,
    needs=_needs,
)

if __name__ == "__main__":
    main(JOB)
