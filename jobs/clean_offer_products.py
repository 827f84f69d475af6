"""Raw offer products to the products of each offer."""

from __future__ import annotations

from offerlake.clean.offer_products import clean_offer_products
from offerlake.ingest.mapping import load_source
from offerlake.job import Context, Job, main
from offerlake.quality.rows import refusals


def run(ctx: Context) -> None:
    """Decides on every record once; quarantine is written before the table."""
    cleaned = clean_offer_products(
        ctx.read("raw_offer_products"),
        products=ctx.read("products"),
        settings=ctx.settings.clean,
        reading=load_source(ctx.settings.run.source).feed("offer_products"),
        quote=ctx.settings.ingest.max_value_chars,
        expected=refusals(ctx.settings.quality, "offer_products", quote=ctx.settings.ingest.max_value_chars),
    )
    with cleaned.held() as counts:
        quarantined = ctx.write("quarantine", cleaned.quarantined, where={"job": JOB.name})
        rows = ctx.write("offer_products", cleaned.good)
        ctx.count(rows_in=counts["rows_in"], rows_out=rows, duplicates=counts["duplicates"], quarantined=quarantined)
        for name, number in counts.items():
            ctx.metric(f"clean.offer_products.{name}", number)


JOB = Job(
    name="clean_offer_products",
    reads=("raw_offer_products", "products"),
    writes=("offer_products", "quarantine"),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
