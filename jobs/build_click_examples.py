"""One row for each offer seen on the site whose label is final as of a day; of those not clicked a sample."""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import functions as F

from offerlake.features.click_examples import click_examples, final_through, seen
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Adds the days that have become final since the last one there; those built with another window are built anew."""
    settings, clicks = ctx.settings.examples, ctx.read("clicks")
    through = final_through(ctx.as_of, settings=settings)
    new = seen(clicks, after=_built_through(ctx), through=through, settings=settings)
    ctx.metric("click_examples.impressions", new.rows)
    ctx.metric("click_examples.late", new.late)
    if not new.days:
        ctx.lake.create("click_examples")  # who reads it finds it, if nobody has seen an offer
        return
    days = {"shown_date": new.days}
    table = click_examples(clicks, first=new.days[0], last=new.days[-1], settings=settings, seed=ctx.settings.run.seed)
    ctx.count(rows_in=new.rows, rows_out=ctx.write("click_examples", table, where=days))
    written = ctx.lake.read("click_examples").where(F.col("shown_date").isin(*new.days))
    ctx.metric("click_examples.clicked", written.agg(F.sum("clicked")).collect()[0][0] or 0)


def _built_through(ctx: Context) -> date | None:
    """The day up to which all is there, built with this window."""
    if not ctx.lake.exists("click_examples"):
        return None
    other = F.col("window_minutes") != ctx.settings.examples.click_window_minutes
    days = F.max("shown_date"), F.min(F.when(other, F.col("shown_date")))
    newest: date | None
    of_another: date | None
    newest, of_another = ctx.read("click_examples").agg(*days).collect()[0]
    return newest if of_another is None else of_another - timedelta(days=1)


JOB = Job(name="build_click_examples", reads=("clicks", "click_examples"), writes=("click_examples",), run=run)

if __name__ == "__main__":
    main(JOB)
