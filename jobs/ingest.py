"""Landing files and topics to bronze: each feed's new records once, what cannot be read to quarantine."""

from __future__ import annotations

from datetime import UTC, datetime

from offerlake.ingest.feed import Batch
from offerlake.ingest.kafka import check_servers
from offerlake.ingest.mapping import load_source
from offerlake.intake import READS, WRITES, Intake, known_columns, note_columns
from offerlake.job import Context, Job, main
from offerlake.parallel import side_by_side
from offerlake.schemas.bronze import FEEDS


def run(ctx: Context) -> None:
    """Finds every mistake of every feed of files first, then writes; then takes what the topics have.

    The metrics `ingest.<feed>.rows` are of the whole table: what an attempt that was killed had committed counts too.
    Where `offerlake stream` is always on, it reads the feeds, and this says what is there.
    """
    source = load_source(ctx.settings.run.source)
    check_servers(source, ctx.settings.ingest.kafka)
    loaded_at = datetime.now(tz=UTC)
    columns = known_columns(ctx)
    intakes = dict(zip(FEEDS, side_by_side(lambda name: Intake(ctx, source, name, columns[name]), FEEDS), strict=True))
    reads = [name for name in FEEDS if name not in source.none and not ctx.settings.ingest.always_on]

    def read(name: str) -> Batch | None:
        return intakes[name].read(loaded_at) if name in reads and not source.feed(name).topic else None

    def write(name: str) -> None:
        if name in reads and source.feed(name).topic:
            intakes[name].drain()
        elif (batch := batches[name]) is not None:
            intakes[name].write_files(batch)
        else:
            ctx.lake.create(f"raw_{name}")  # who cleans it finds it empty

    batches = dict(zip(FEEDS, side_by_side(read, FEEDS), strict=True))
    ctx.lake.create("source_columns")  # the report finds it, if there is nothing to note
    kinds = {name: batch.kinds for name, batch in batches.items() if batch is not None}
    note_columns(ctx, [row for name in kinds for row in intakes[name].new_columns(kinds[name], loaded_at)])
    side_by_side(write, FEEDS)
    for name, intake in intakes.items():
        taken = intake.taken
        ctx.metric(f"ingest.{name}.rows", intake.before + taken.written)
        if name in reads:
            ctx.count(rows_in=taken.rows, rows_out=taken.written, quarantined=taken.refused)
            ctx.metric(f"ingest.{name}.new_files", taken.files)
            ctx.metric(f"ingest.{name}.files_without_rows", len(taken.without_rows))
            ctx.metric(f"ingest.{name}.others", taken.others)
            ctx.metric(f"ingest.{name}.new_columns", taken.new_columns)
            ctx.metric(f"ingest.{name}.changed_types", taken.changed_types)
            if intake.feed.topic:
                ctx.metric(f"ingest.{name}.lost_offsets", taken.lost)


JOB = Job(name="ingest", reads=READS, writes=WRITES, run=run, looks_outside=True)

if __name__ == "__main__":
    main(JOB)
