"""Raw offer products to the products of each offer."""

from __future__ import annotations

from offerlake.clean.offer_products import clean_offer_products
from offerlake.cleaning import keep, rules_of
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Decides on every record once, see `cleaning.keep`."""
    keep(
        ctx,
        clean_offer_products(
            ctx.read("raw_offer_products"), products=ctx.read("products"), rules=rules_of(ctx, "offer_products")
        ),
    )


JOB = Job(
    name="clean_offer_products",
    reads=("raw_offer_products", "products"),
    writes=("offer_products", "quarantine"),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
