"""The best products of each recent session of a visitor who is not logged in, as of a day."""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.evaluate.bootstrap import poisson_means
from offerlake.features.catalogue import known_products
from offerlake.job import Context, Job, main
from offerlake.recommend.sessions import (
    best,
    by_neighbours,
    counted,
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
    counts = counted(history, _shown(ctx, ctx.as_of)).cache()
    n = ctx.settings.recommend.n
    now = present(history.join(sessions.select("session_id"), on="session_id", how="left_semi"))
    scored = by_neighbours(now, history, counts, settings=settings)
    ranked = best(sessions, now, scored, popular(counts, n=n), n=n)
    found = SESSION_CANDIDATES.select(listed(sessions, ranked).withColumn("as_of", F.lit(ctx.as_of)))
    ctx.count(rows_out=ctx.write("session_candidates", found, where={"as_of": ctx.as_of}))
    judge(ctx, history)
    for frame in (history, sessions, counts):
        frame.unpersist()


def judge(ctx: Context, seen: DataFrame) -> None:
    """Notes how often the last product of a session is among the best K for what came before it, and at what place."""
    settings, seed = ctx.settings.recommend.sessions, ctx.settings.run.seed
    cut = ctx.as_of - timedelta(days=settings.recent_days)
    before, truth = (frame.cache() for frame in held_out(seen, since=cut, most=JUDGED, seed=seed))
    history = visits(known_clicks(ctx.read("clicks"), as_of=cut, days=settings.history_days)).cache()
    counts = counted(history, _shown(ctx, cut)).cache()
    now, often = present(before).cache(), popular(counts, n=K)
    scored = by_neighbours(now, history, counts, settings=settings)
    places = truth
    for name, rows in (("", scored), (".popularity", scored.limit(0))):
        ranked = best(truth, now, rows, often, n=K).select("session_id", "product_id", "rank")
        place = F.coalesce(1 / F.col("rank"), F.lit(0.0))
        judged = {f"hit_rate@{K}": (place > 0).cast("double"), f"mrr@{K}": place}
        places = (
            places.join(ranked, on=["session_id", "product_id"], how="left")
            .withColumns({f"recommend.sessions{name}.{metric}": value for metric, value in judged.items()})
            .drop("rank")
        )
    number, means = poisson_means(
        places.drop("product_id"), key="session_id", samples=ctx.settings.evaluate.bootstrap, seed=seed
    )
    for name, mean in means.items():
        ctx.metric(name, mean.value, low=mean.low, high=mean.high)
    ctx.metric("recommend.sessions.judged", number)
    for frame in (before, truth, history, counts, now):
        frame.unpersist()


def _shown(ctx: Context, day: date) -> DataFrame:
    known = known_products(ctx.read("products"), as_of=day)
    return showable(known, blocked=ctx.settings.recommend.blocked_categories)


JOB = Job(
    name="recommend_sessions",
    reads=("clicks", "products"),
    writes=("session_candidates",),
    run=run,
    when=lambda settings: settings.recommend.sessions.enabled,
)

if __name__ == "__main__":
    main(JOB)
