"""Writes the drop for the marketing system: part files and a manifest, from the table user_offers."""

from __future__ import annotations

from pyspark.sql import functions as F

from offerlake.decide.publish import write_drop
from offerlake.errors import GateError
from offerlake.job import Context, Job, main
from offerlake.ledger import published_runs


def run(ctx: Context) -> None:
    """Publishes the run; what has been published stays as it is, also where the drop has been fetched and deleted."""
    if ctx.run_id in published_runs(ctx.lake, ctx.as_of):
        return
    passed = (F.col("run_id") == ctx.run_id) & (F.col("name") == "gate.passed") & (F.col("value") == 1)
    if ctx.settings.evaluate.gate and ctx.read("metrics").where(passed).isEmpty():
        raise GateError(f"run {ctx.run_id} has not passed the gate", fix="Run evaluate; it says why it refuses.")
    rows = ctx.read("user_offers").where((F.col("as_of") == ctx.as_of) & (F.col("run_id") == ctx.run_id))
    manifest = write_drop(
        rows,
        ctx.settings.run.publish,
        as_of=ctx.as_of,
        run_id=ctx.run_id,
        form=ctx.settings.publish.format,
        rows_per_file=ctx.settings.publish.rows_per_file,
    )
    ctx.count(rows_in=int(str(manifest["users"])), rows_out=int(str(manifest["rows"])))


JOB = Job(name="publish_offers", reads=("user_offers", "metrics"), writes=("publish",), run=run)

if __name__ == "__main__":
    main(JOB)
