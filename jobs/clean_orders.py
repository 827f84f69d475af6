"""Raw orders to order lines: unique lines and returns, money checked."""

from __future__ import annotations

from offerlake.clean.orders import clean_orders
from offerlake.ingest.mapping import load_source
from offerlake.job import Context, Job, main
from offerlake.quality.rows import refusals


def run(ctx: Context) -> None:
    """Decides on every record once; quarantine is written before the table."""
    cleaned = clean_orders(
        ctx.read("raw_orders"),
        products=ctx.read("products"),
        users=ctx.read("users"),
        settings=ctx.settings.clean,
        reading=load_source(ctx.settings.run.source).feed("orders"),
        quote=ctx.settings.ingest.max_value_chars,
        expected=refusals(ctx.settings.quality, "order_lines", quote=ctx.settings.ingest.max_value_chars),
    )
    with cleaned.held() as counts:
        quarantined = ctx.write("quarantine", cleaned.quarantined, where={"job": JOB.name})
        rows = ctx.write("order_lines", cleaned.good)
        ctx.count(rows_in=counts["rows_in"], rows_out=rows, duplicates=counts["duplicates"], quarantined=quarantined)
        for name, number in counts.items():
            ctx.metric(f"clean.orders.{name}", number)
        unknown = cleaned.good.join(ctx.read("users"), on="user_id", how="left_anti").where("user_id IS NOT NULL")
        ctx.metric("clean.orders.unknown_users", unknown.count())
        ctx.metric("clean.orders.unknown_products", cleaned.good.where("NOT known_product").count())


JOB = Job(name="clean_orders", reads=("raw_orders", "products", "users"), writes=("order_lines", "quarantine"), run=run)

if __name__ == "__main__":
    main(JOB)
