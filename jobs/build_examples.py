"""One row for each exposure whose labels are final as of a day: features before it, labels after it."""

from __future__ import annotations

from offerlake.features.examples import counts, examples, known_exposures
from offerlake.features.history import require_history
from offerlake.job import Context, Job, main
from offerlake.schemas.gold import EXAMPLES


def run(ctx: Context) -> None:
    """Writes `examples` anew: the exposures of `as_of` and no later ones."""
    settings = ctx.settings
    exposures, offers = ctx.read("exposures"), ctx.read("offers")
    known = known_exposures(ctx.as_of, exposures, offers, settings=settings.examples)
    found = counts(known)
    ctx.metric("examples.final", found.final)
    ctx.metric("examples.open", found.open)
    days = ctx.read("user_days")
    if not found.days:
        require_history(ctx.as_of, days)
        ctx.count(rows_out=ctx.write("examples", ctx.spark.createDataFrame([], EXAMPLES.struct)))
        return
    table = examples(
        known,
        as_ofs=found.days,
        days=days,
        category_days=ctx.read("user_category_days"),
        clicks=ctx.read("clicks"),
        order_lines=ctx.read("order_lines"),
        redemptions=ctx.read("redemptions"),
        offers=offers,
        offer_products=ctx.read("offer_products"),
        products=ctx.read("products"),
        users=ctx.read("users"),
        features=settings.features,
        contact_cost=settings.decide.contact_cost,
    )
    ctx.count(rows_in=found.final, rows_out=ctx.write("examples", table))


JOB = Job(
    name="build_examples",
    reads=(
        "exposures", "offers", "user_days", "user_category_days", "clicks", "order_lines", "redemptions",
        "offer_products", "products", "users",
    ),
    writes=("examples",),
    run=run,
)  # fmt: skip

if __name__ == "__main__":
    main(JOB)
