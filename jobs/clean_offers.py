"""Raw offers to versions of offers."""

from __future__ import annotations

from offerlake.clean.offers import clean_offers
from offerlake.ingest.mapping import load_source
from offerlake.job import Context, Job, main
from offerlake.quality.rows import refusals


def run(ctx: Context) -> None:
    """Decides on every record once; quarantine is written before the table."""
    cleaned = clean_offers(
        ctx.read("raw_offers"),
        settings=ctx.settings.clean,
        reading=load_source(ctx.settings.run.source).feed("offers"),
        quote=ctx.settings.ingest.max_value_chars,
        expected=refusals(ctx.settings.quality, "offers", quote=ctx.settings.ingest.max_value_chars),
    )
    with cleaned.held() as counts:
        quarantined = ctx.write("quarantine", cleaned.quarantined, where={"job": JOB.name})
        rows = ctx.write("offers", cleaned.good)
        ctx.count(rows_in=counts["rows_in"], rows_out=rows, duplicates=counts["duplicates"], quarantined=quarantined)
        for name, number in counts.items():
            ctx.metric(f"clean.offers.{name}", number)


JOB = Job(name="clean_offers", reads=("raw_offers",), writes=("offers", "quarantine"), run=run)

if __name__ == "__main__":
    main(JOB)
