"""Features of users and products, and their interactions, as of a day."""

from __future__ import annotations

from pyspark.sql import functions as F

from offerlake.features.affinity import user_profiles
from offerlake.features.events import daily_activity
from offerlake.features.history import require_history
from offerlake.features.interactions import interactions
from offerlake.features.products import product_features
from offerlake.features.users import known_users, user_features
from offerlake.job import Context, Job, main
from offerlake.schemas.gold import USER_FEATURES


def run(ctx: Context) -> None:
    """Writes the slice of `as_of` of three tables."""
    settings = ctx.settings
    clicks, order_lines = ctx.read("clicks"), ctx.read("order_lines")
    require_history(ctx.as_of, clicks=clicks, order_lines=order_lines)
    products, users = ctx.read("products"), ctx.read("users")
    wanted = known_users(ctx.as_of, users=users, clicks=clicks, order_lines=order_lines)
    daily = daily_activity(
        clicks=clicks,
        order_lines=order_lines,
        exposures=ctx.read("exposures"),
        redemptions=ctx.read("redemptions"),
        offers=ctx.read("offers"),
        examples=settings.examples,
        session_gap_minutes=settings.clean.session_gap_minutes,
    ).persist()
    features = user_features(
        wanted,
        days=[ctx.as_of],
        daily=daily,
        clicks=clicks,
        order_lines=order_lines,
        products=products,
        users=users,
        settings=settings.features,
    )
    profiles = user_profiles(
        wanted,
        clicks=clicks,
        order_lines=order_lines,
        products=products,
        brand_limit=settings.features.brand_limit,
    )
    empty = F.create_map().cast("map<string,double>")
    described = features.join(profiles, on=["as_of", "user_id"], how="left").withColumns(
        {name: F.coalesce(F.col(name), empty) for name in ("category_affinity", "brand_affinity")}
    )
    where = {"as_of": ctx.as_of}
    rows = ctx.write("user_features", USER_FEATURES.select(described), where=where)
    daily.unpersist()
    ctx.write(
        "product_features",
        product_features(
            ctx.as_of, products=products, clicks=clicks, order_lines=order_lines, settings=settings.features
        ),
        where=where,
    )
    ctx.write(
        "interactions",
        interactions(
            ctx.as_of,
            clicks=clicks,
            order_lines=order_lines,
            weights=settings.recommend.weights,
            half_life_days=settings.recommend.half_life_days,
        ),
        where=where,
    )
    ctx.count(rows_out=rows)


JOB = Job(
    name="build_features",
    reads=("clicks", "order_lines", "exposures", "redemptions", "offers", "products", "users"),
    writes=("user_features", "product_features", "interactions"),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
