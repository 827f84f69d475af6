"""Raw orders to order lines: unique lines and returns, money checked."""

from __future__ import annotations

from pyspark.sql import functions as F

from offerlake.clean.orders import clean_orders
from offerlake.cleaning import identities, keep, part_of, rules_of
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Decides on every record once, see `cleaning.keep`."""
    rules = rules_of(ctx, "orders", table="order_lines")
    part = part_of(ctx, "orders", table="order_lines", happened="order_time", rules=rules)
    keep(
        ctx,
        clean_orders(
            part.raw,
            products=ctx.read("products"),
            users=ctx.read("users"),
            identities=identities(ctx),
            rules=rules,
            large=part.large,
            earlier=ctx.lake.read("order_lines").where(F.col("order_date") < part.since) if part.since else None,
        ),
        part,
    )


JOB = Job(
    name="clean_orders",
    reads=("raw_orders", "products", "users", "identities"),
    writes=("order_lines", "quarantine"),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
