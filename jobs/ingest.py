"""Landing files to bronze: each feed's new files once, what cannot be read to quarantine."""

from __future__ import annotations

from datetime import UTC, datetime

from offerlake import files
from offerlake.ingest.feed import Batch, read_feed
from offerlake.ingest.mapping import load_source
from offerlake.job import Context, Job, main
from offerlake.parallel import side_by_side
from offerlake.schemas.bronze import FEEDS

RAW = tuple(f"raw_{name}" for name in FEEDS)


def run(ctx: Context) -> None:
    """Finds every mistake of every feed first, then writes."""
    source = load_source(ctx.settings.run.source)
    landing = files.qualified(ctx.spark, ctx.settings.run.landing)
    loaded_at = datetime.now(tz=UTC)

    def read(name: str) -> Batch | None:
        ctx.lake.create(f"raw_{name}")
        if name in source.none:
            return None
        known = {row[0] for row in ctx.read(f"raw_{name}").select("source").distinct().collect()}
        return read_feed(
            ctx.spark,
            name,
            source.feed(name),
            landing=landing,
            known=known,
            loaded_at=loaded_at,
            quote=ctx.settings.ingest.max_value_chars,
        )

    def write(name: str) -> int:
        batch = batches[name]
        if batch.refused:
            ctx.write("quarantine", batch.quarantined)
        rows = ctx.write(f"raw_{name}", batch.good)
        batch.held.unpersist()
        return rows

    found = zip(FEEDS, side_by_side(read, FEEDS), strict=True)
    batches = {name: batch for name, batch in found if batch is not None}
    for (name, batch), rows in zip(batches.items(), side_by_side(write, batches), strict=True):
        ctx.count(rows_in=batch.rows, rows_out=rows, quarantined=batch.refused)
        ctx.metric(f"ingest.{name}.rows", rows)
        ctx.metric(f"ingest.{name}.quarantined", batch.refused)
        ctx.metric(f"ingest.{name}.files", batch.files)
        ctx.metric(f"ingest.{name}.files_without_rows", len(batch.without_rows))


JOB = Job(name="ingest", reads=RAW, writes=(*RAW, "quarantine"), run=run, looks_outside=True)

if __name__ == "__main__":
    main(JOB)
