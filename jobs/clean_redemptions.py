"""Raw redemptions to redemptions, each once."""

from __future__ import annotations

from offerlake.clean.redemptions import clean_redemptions
from offerlake.ingest.mapping import load_source
from offerlake.job import Context, Job, main
from offerlake.quality.rows import refusals


def run(ctx: Context) -> None:
    """Decides on every record once; quarantine is written before the table."""
    cleaned = clean_redemptions(
        ctx.read("raw_redemptions"),
        offers=ctx.read("offers"),
        users=ctx.read("users"),
        settings=ctx.settings.clean,
        reading=load_source(ctx.settings.run.source).feed("redemptions"),
        quote=ctx.settings.ingest.max_value_chars,
        expected=refusals(ctx.settings.quality, "redemptions", quote=ctx.settings.ingest.max_value_chars),
    )
    with cleaned.held() as counts:
        quarantined = ctx.write("quarantine", cleaned.quarantined, where={"job": JOB.name})
        rows = ctx.write("redemptions", cleaned.good)
        ctx.count(rows_in=counts["rows_in"], rows_out=rows, duplicates=counts["duplicates"], quarantined=quarantined)
        for name, number in counts.items():
            ctx.metric(f"clean.redemptions.{name}", number)


JOB = Job(
    name="clean_redemptions",
    reads=("raw_redemptions", "offers", "users"),
    writes=("redemptions", "quarantine"),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
