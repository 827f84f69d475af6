"""The report of a run: LAKE/reports/<as_of>-<run_id>.html."""

from __future__ import annotations

from pathlib import PurePath

from pyspark.sql import functions as F

from offerlake import files
from offerlake.evaluate import customers, facts
from offerlake.evaluate.checks import checks
from offerlake.evaluate.picks import picks
from offerlake.evaluate.report import render
from offerlake.job import Context, Job, main
from offerlake.ledger import code_version
from offerlake.schemas.bronze import FEEDS


def run(ctx: Context) -> None:
    """Sums up the tables of the run and writes the page; only sums come to the driver."""
    this_run, today = F.col("run_id") == F.lit(ctx.run_id), F.col("as_of") == F.lit(ctx.as_of)
    chosen = ctx.read("user_offers").where(this_run & today)
    numbers = facts.metrics(ctx.read("metrics").where(this_run))
    received, rejected = facts.feeds(numbers, ctx.read("quarantine"), FEEDS)
    expected = checks(ctx.read("expectations").where(this_run)) if ctx.lake.exists("expectations") else ()
    kinds: tuple[facts.Segment, ...] = ()
    if ctx.settings.segments.enabled:
        kinds = customers.segments(ctx.read("segment_profiles").where(today))
    page = render(
        facts.Facts(
            run_id=ctx.run_id,
            as_of=ctx.as_of,
            source=PurePath(ctx.settings.run.source).stem,
            code_version=code_version(),
            metrics=numbers,
            feeds=received,
            rejections=rejected,
            checks=expected,
            columns=facts.columns(ctx.read("source_columns")),
            groups=facts.groups(chosen),
            silent=facts.silent(chosen),
            promises=facts.promises(ctx.read("offer_scores").where(today)),
            examples=facts.examples(chosen),
            picks=picks(
                ctx.read("candidates").where(today), ctx.read("interactions").where(today), ctx.read("products")
            ),
            stages=customers.stages(ctx.read("user_features").where(today)),
            segments=kinds,
            models=facts.models(ctx.read("models")),
            jobs=facts.jobs(ctx.read("runs").where(this_run)),
        )
    )
    files.write_bytes(ctx.spark, f"{ctx.lake.root}/reports/{ctx.as_of}-{ctx.run_id}.html", page.encode())


JOB = Job(
    name="report",
    reads=(
        "metrics", "runs", "user_offers", "quarantine", "expectations", "source_columns", "offer_scores",
        "user_features", "segment_profiles", "user_value", "models", "candidates", "interactions", "products",
        "publish",  # the last of all
    ),
    writes=("report",),
    run=run,
)  # fmt: skip

if __name__ == "__main__":
    main(JOB)
