"""Raw clicks to clicks: unique events, in sessions, without bots."""

from __future__ import annotations

from offerlake.clean.clicks import clean_clicks
from offerlake.ingest.mapping import load_source
from offerlake.job import Context, Job, main
from offerlake.quality.rows import refusals


def run(ctx: Context) -> None:
    """Decides on every record once; quarantine is written before the table."""
    cleaned = clean_clicks(
        ctx.read("raw_clicks"),
        products=ctx.read("products"),
        users=ctx.read("users"),
        settings=ctx.settings.clean,
        reading=load_source(ctx.settings.run.source).feed("clicks"),
        quote=ctx.settings.ingest.max_value_chars,
        expected=refusals(ctx.settings.quality, "clicks", quote=ctx.settings.ingest.max_value_chars),
    )
    with cleaned.held() as counts:
        quarantined = ctx.write("quarantine", cleaned.quarantined, where={"job": JOB.name})
        rows = ctx.write("clicks", cleaned.good)
        ctx.count(rows_in=counts["rows_in"], rows_out=rows, duplicates=counts["duplicates"], quarantined=quarantined)
        for name, number in counts.items():
            ctx.metric(f"clean.clicks.{name}", number)
        unknown = cleaned.good.join(ctx.read("users"), on="user_id", how="left_anti").where("user_id IS NOT NULL")
        ctx.metric("clean.clicks.unknown_users", unknown.count())
        ctx.metric("clean.clicks.unknown_products", cleaned.good.where("NOT known_product").count())


JOB = Job(name="clean_clicks", reads=("raw_clicks", "products", "users"), writes=("clicks", "quarantine"), run=run)

if __name__ == "__main__":
    main(JOB)
