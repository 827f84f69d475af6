"""Raw exposures to exposures, each once."""

from __future__ import annotations

from offerlake.clean.exposures import clean_exposures
from offerlake.ingest.mapping import load_source
from offerlake.job import Context, Job, main
from offerlake.quality.rows import refusals


def run(ctx: Context) -> None:
    """Decides on every record once; quarantine is written before the table."""
    cleaned = clean_exposures(
        ctx.read("raw_exposures"),
        offers=ctx.read("offers"),
        users=ctx.read("users"),
        settings=ctx.settings.clean,
        reading=load_source(ctx.settings.run.source).feed("exposures"),
        quote=ctx.settings.ingest.max_value_chars,
        expected=refusals(ctx.settings.quality, "exposures", quote=ctx.settings.ingest.max_value_chars),
    )
    with cleaned.held() as counts:
        quarantined = ctx.write("quarantine", cleaned.quarantined, where={"job": JOB.name})
        rows = ctx.write("exposures", cleaned.good)
        ctx.count(rows_in=counts["rows_in"], rows_out=rows, duplicates=counts["duplicates"], quarantined=quarantined)
        for name, number in counts.items():
            ctx.metric(f"clean.exposures.{name}", number)


JOB = Job(
    name="clean_exposures", reads=("raw_exposures", "offers", "users"), writes=("exposures", "quarantine"), run=run
)

if __name__ == "__main__":
    main(JOB)
