"""The last things that users did, as of the day and as of each example's."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.features.sequences import carried_on, event_log, sequences
from offerlake.job import Context, Job, main
from offerlake.schemas.gold import EXAMPLE_SEQUENCES, SEQUENCES


def run(ctx: Context) -> None:
    """Writes the slice of `as_of`, carried on from the newest before it, and the examples that have none yet."""
    length = ctx.settings.features.sequence_length
    log = event_log(ctx.read("clicks"), ctx.read("order_lines"))
    wanted = ctx.read("user_features").where(F.col("as_of") == ctx.as_of).select("as_of", "user_id")
    told = sequences(wanted, _recent(ctx, log, length), length=length)
    ctx.count(rows_out=ctx.write("sequences", SEQUENCES.select(told), where={"as_of": ctx.as_of}))
    ctx.metric("sequences.examples", ctx.write("example_sequences", _of_examples(ctx, log, length)))


def _recent(ctx: Context, log: DataFrame, length: int) -> DataFrame:
    if not ctx.lake.exists("sequences"):
        return log
    earlier = ctx.read("sequences").where((F.col("as_of") < ctx.as_of) & (F.col("most") == length))
    newest = earlier.agg(F.max("as_of")).collect()[0][0]
    return log if newest is None else carried_on(earlier.where(F.col("as_of") == newest), log, day=newest)


def _of_examples(ctx: Context, log: DataFrame, length: int) -> DataFrame:
    wanted = ctx.read("examples").select("exposure_id", "user_id", F.col("shown_date").alias("as_of"))
    if ctx.lake.exists("example_sequences"):
        there = ctx.read("example_sequences").where(F.col("most") == length).select("exposure_id")
        wanted = wanted.join(there, on="exposure_id", how="left_anti")
    return EXAMPLE_SEQUENCES.select(sequences(wanted, log, length=length))


JOB = Job(
    name="build_sequences",
    reads=("clicks", "order_lines", "user_features", "examples", "sequences", "example_sequences"),
    writes=("sequences", "example_sequences"),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
