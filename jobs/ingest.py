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
    """Finds every mistake of every feed first, then writes.

    The metrics `ingest.<feed>.rows` are of the whole table: what an attempt that was killed had committed counts too.
    """
    source = load_source(ctx.settings.run.source)
    landing = files.qualified(ctx.spark, ctx.settings.run.landing)
    loaded_at = datetime.now(tz=UTC)

    known: dict[str, dict[str, int]] = {}  # by feed, of each file in bronze its rows

    def read(name: str) -> Batch | None:
        there = ctx.lake.exists(f"raw_{name}")
        known[name] = dict(ctx.read(f"raw_{name}").groupBy("source").count().collect()) if there else {}
        if name in source.none:
            return None
        return read_feed(
            ctx.spark,
            name,
            source.feed(name),
            landing=landing,
            known=known[name],
            loaded_at=loaded_at,
            quote=ctx.settings.ingest.max_value_chars,
        )

    def write(name: str) -> int:
        if name not in batches:
            ctx.lake.create(f"raw_{name}")  # who cleans it finds it empty
            return 0
        batch = batches[name]
        if batch.refused:
            ctx.write("quarantine", batch.quarantined)
        rows = ctx.write(f"raw_{name}", batch.good)
        batch.held.unpersist()
        return rows

    found = zip(FEEDS, side_by_side(read, FEEDS), strict=True)
    batches = {name: batch for name, batch in found if batch is not None}
    written = dict(zip(FEEDS, side_by_side(write, FEEDS), strict=True))
    for name in FEEDS:
        ctx.metric(f"ingest.{name}.rows", sum(known[name].values()) + written[name])
        if name in batches:
            batch = batches[name]
            ctx.count(rows_in=batch.rows, rows_out=written[name], quarantined=batch.refused)
            ctx.metric(f"ingest.{name}.new_files", batch.files)
            ctx.metric(f"ingest.{name}.files_without_rows", len(batch.without_rows))
            ctx.metric(f"ingest.{name}.others", batch.others)


JOB = Job(name="ingest", reads=RAW, writes=(*RAW, "quarantine"), run=run, looks_outside=True)

if __name__ == "__main__":
    main(JOB)
