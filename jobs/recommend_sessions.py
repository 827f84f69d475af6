"""The best products of each recent session of a visitor who is not logged in, as of a day."""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.evaluate.bootstrap import poisson_means
from offerlake.evaluate.ranking import per_user
from offerlake.features.catalogue import known_products
from offerlake.job import Context, Job, main
from offerlake.recommend.sessions import (
    best,
    by_neighbours,
    held_out,
    known_clicks,
    listed,
    popular,
    present,
    strangers,
    visits,
)
from offerlake.recommend.topn import showable
from offerlake.schemas.gold import SESSION_CANDIDATES

JUDGED = 2000
"""Sessions at most that judge: intervals of about ± 2 percentage points."""
K = 20


def run(ctx: Context) -> None:
    """Writes the slice of `as_of`, and judges on sessions of the same days."""
    settings = ctx.settings.recommend.sessions
    since = ctx.as_of - timedelta(days=settings.recent_days)
    clicks = known_clicks(ctx.read("clicks"), as_of=ctx.as_of, days=settings.history_days)
    if clicks.isEmpty():  # a source without a log of clicks
        nothing = ctx.spark.createDataFrame([], SESSION_CANDIDATES.struct)
        ctx.write("session_candidates", nothing, where={"as_of": ctx.as_of})
        return
    history = visits(clicks).cache()
    sessions = strangers(clicks, since=since).cache()
    shown = showable(
        known_products(ctx.read("products"), as_of=ctx.as_of), blocked=ctx.settings.recommend.blocked_categories
    )
    n = ctx.settings.recommend.n
    now = present(history.join(sessions.select("session_id"), on="session_id", how="left_semi"))
    scored = by_neighbours(now, history, shown, settings=settings)
    ranked = best(sessions, now, scored, popular(history, shown, n=n), n=n)
    found = SESSION_CANDIDATES.select(listed(sessions, ranked).withColumn("as_of", F.lit(ctx.as_of)))
    ctx.count(rows_out=ctx.write("session_candidates", found, where={"as_of": ctx.as_of}))
    judge(ctx, history)
    for frame in (history, sessions):
        frame.unpersist()


def judge(ctx: Context, seen: DataFrame) -> None:
    """Notes how often the last product of a session is among the best K for what came before it, and at what place."""
    settings, seed = ctx.settings.recommend.sessions, ctx.settings.run.seed
    cut = ctx.as_of - timedelta(days=settings.recent_days)
    before, truth = (frame.cache() for frame in held_out(seen, since=cut, most=JUDGED, seed=seed))
    history = visits(known_clicks(ctx.read("clicks"), as_of=cut, days=settings.history_days)).cache()
    shown = showable(known_products(ctx.read("products"), as_of=cut), blocked=ctx.settings.recommend.blocked_categories)
    now, often = present(before).cache(), popular(history, shown, n=K)
    scored = by_neighbours(now, history, shown, settings=settings)
    frames = {
        f"recommend.sessions{name}": _judged(best(truth, now, rows, often, n=K), truth)
        for name, rows in (("", scored), (".popularity", scored.limit(0)))
    }
    named = [
        frame.select("user_id", *[F.col(f"`{x}`").alias(f"{name}.{x}") for x in frame.columns if x != "user_id"])
        for name, frame in frames.items()
    ]
    together = named[0].join(named[1], on="user_id", how="inner")
    number, means = poisson_means(together, key="user_id", samples=ctx.settings.evaluate.bootstrap, seed=seed)
    for name, mean in means.items():
        ctx.metric(name, mean.value, low=mean.low, high=mean.high)
    ctx.metric("recommend.sessions.judged", number)
    for frame in (before, truth, history, now):
        frame.unpersist()


def _judged(ranked: DataFrame, truth: DataFrame) -> DataFrame:
    """user_id (the session), hit_rate@K, mrr@K."""
    lists, wanted = (frame.withColumnRenamed("session_id", "user_id") for frame in (ranked, truth))
    found = per_user(lists.select("user_id", "product_id", "rank"), wanted, ks=(K,))
    return found.select("user_id", f"hit_rate@{K}", F.col("mrr").alias(f"mrr@{K}"))


JOB = Job(
    name="recommend_sessions",
    reads=("clicks", "products"),
    writes=("session_candidates",),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
