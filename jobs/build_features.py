"""Features of users as of a day."""

from __future__ import annotations

from pyspark.sql import functions as F

from offerlake.features.affinity import user_profiles
from offerlake.features.history import require_history
from offerlake.features.users import known_users, user_features
from offerlake.job import Context, Job, main
from offerlake.schemas.gold import USER_FEATURES


def run(ctx: Context) -> None:
    """Writes the slice of `as_of`."""
    settings = ctx.settings
    days, category_days, users = ctx.read("user_days"), ctx.read("user_category_days"), ctx.read("users")
    require_history(ctx.as_of, days)
    wanted = known_users(ctx.as_of, users=users, days=days)
    features = user_features(
        wanted,
        as_ofs=[ctx.as_of],
        days=days,
        category_days=category_days,
        users=users,
        settings=settings.features,
    )
    profiles = user_profiles(
        wanted,
        category_days,
        clicks=ctx.read("clicks"),
        order_lines=ctx.read("order_lines"),
        products=ctx.read("products"),
        brand_limit=settings.features.brand_limit,
    )
    empty = F.create_map().cast("map<string,double>")
    described = features.join(profiles, on=["as_of", "user_id"], how="left").withColumns(
        {name: F.coalesce(F.col(name), empty) for name in ("category_affinity", "brand_affinity")}
    )
    where = {"as_of": ctx.as_of}
    ctx.count(rows_out=ctx.write("user_features", USER_FEATURES.select(described), where=where))


JOB = Job(
    name="build_features",
    reads=("user_days", "user_category_days", "clicks", "order_lines", "products", "users"),
    writes=("user_features",),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
