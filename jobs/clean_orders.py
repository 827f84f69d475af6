"""Raw orders to order lines: unique lines and returns, money checked."""

from __future__ import annotations

from offerlake.clean.orders import clean_orders
from offerlake.cleaning import identities, keep, rules_of
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Decides on every record once, see `cleaning.keep`."""
    keep(
        ctx,
        clean_orders(
            ctx.read("raw_orders"),
            products=ctx.read("products"),
            users=ctx.read("users"),
            identities=identities(ctx),
            rules=rules_of(ctx, "orders", table="order_lines"),
        ),
    )


JOB = Job(
    name="clean_orders",
    reads=("raw_orders", "products", "users", "identities"),
    writes=("order_lines", "quarantine"),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
