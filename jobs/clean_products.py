"""Raw products to versions of products."""

from __future__ import annotations

from offerlake.clean.products import clean_products
from offerlake.cleaning import keep, rules_of
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Decides on every record once, see `cleaning.keep`."""
    keep(ctx, clean_products(ctx.read("raw_products"), rules=rules_of(ctx, "products")))


JOB = Job(name="clean_products", reads=("raw_products",), writes=("products", "quarantine"), run=run)

if __name__ == "__main__":
    main(JOB)
