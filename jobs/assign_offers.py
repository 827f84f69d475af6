"""Chooses for every user: the table user_offers."""

from __future__ import annotations

from pyspark.sql import functions as F

from offerlake import ledger
from offerlake.decide.assignment import Catalogue, assign
from offerlake.decide.publish import published_runs
from offerlake.errors import DataError
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Assigns the day, unless the run has been published, or its drop at least: then its rows stay as they are."""
    finished = ledger.published_runs(ctx.lake, ctx.as_of)
    dropped = published_runs(ctx.spark, ctx.settings.run.publish, as_of=ctx.as_of)
    if ctx.run_id in finished or (ctx.run_id in dropped and not ctx.force and _has_rows(ctx)):
        return
    others = (finished | dropped) - {ctx.run_id}
    if others and not ctx.force:
        raise DataError(
            f"user_offers: {ctx.as_of} has been published by run {', '.join(sorted(others))}; this is run {ctx.run_id}",
            fix="Give --force to assign the day anew with other settings, or the settings of that run.",
        )
    settings = ctx.settings.decide
    made = assign(
        ctx.read("offer_scores").where(F.col("as_of") == ctx.as_of),
        Catalogue(
            users=ctx.read("users"),
            offers=ctx.read("offers"),
            redemptions=ctx.read("redemptions"),
            candidates=ctx.read("candidates").where(F.col("as_of") == ctx.as_of),
        ),
        as_of=ctx.as_of,
        run_id=ctx.run_id,
        seed=ctx.settings.run.seed,
        settings=settings,
        unknown_consent=ctx.settings.clean.unknown_consent,
    )
    rows = ctx.write("user_offers", made.rows, where={"as_of": ctx.as_of, "run_id": ctx.run_id})
    ctx.count(rows_out=rows)
    ctx.metric("offers.budget", settings.budget)
    ctx.metric("offers.price", made.edge.price)
    ctx.metric("offers.explore_share", made.exploration.share)
    ctx.metric("offers.explore_spend", made.exploration.spend)


def _has_rows(ctx: Context) -> bool:
    if not ctx.lake.exists("user_offers"):
        return False
    return not ctx.lake.read("user_offers").where(F.col("run_id") == ctx.run_id).isEmpty()


JOB = Job(
    name="assign_offers",
    reads=("offer_scores", "users", "offers", "redemptions", "candidates"),
    writes=("user_offers",),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
