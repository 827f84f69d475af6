"""Features of products, and how strongly users have shown interest in them, as of a day."""

from __future__ import annotations

from offerlake.features.interactions import interactions
from offerlake.features.products import product_features
from offerlake.job import Context, Job, main


def run(ctx: Context) -> None:
    """Writes the slice of `as_of` of both tables."""
    settings, where = ctx.settings, {"as_of": ctx.as_of}
    clicks, order_lines = ctx.read("clicks"), ctx.read("order_lines")
    features = product_features(
        ctx.as_of,
        products=ctx.read("products"),
        clicks=clicks,
        order_lines=order_lines,
        settings=settings.features,
    )
    ctx.write("product_features", features, where=where)
    shown = interactions(
        ctx.as_of,
        clicks=clicks,
        order_lines=order_lines,
        weights=settings.recommend.weights,
        half_life_days=settings.recommend.half_life_days,
    )
    ctx.count(rows_out=ctx.write("interactions", shown, where=where))


JOB = Job(
    name="build_products",
    reads=("clicks", "order_lines", "products"),
    writes=("product_features", "interactions"),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
