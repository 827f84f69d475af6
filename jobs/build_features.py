"""Features of users as of a day, or of many in one pass."""

from __future__ import annotations

from datetime import timedelta

from offerlake.features.history import require_history
from offerlake.features.profiles import user_profiles
from offerlake.features.users import known_users, user_features
from offerlake.job import Context, Job, main
from offerlake.schemas.gold import USER_FEATURES


def run(ctx: Context) -> None:
    """Writes the slices of `as_of` and the days before it that `features.days` asks for; profiles of `as_of` alone."""
    settings = ctx.settings.features
    as_ofs = [ctx.as_of - timedelta(days=back) for back in reversed(range(settings.days))]
    days, category_days, users = ctx.read("user_days"), ctx.read("user_category_days"), ctx.read("users")
    require_history(as_ofs[0], days)
    features = user_features(
        known_users(as_ofs, users=users, days=days),
        as_ofs=as_ofs,
        days=days,
        category_days=category_days,
        users=users,
        settings=settings,
    )
    ctx.count(rows_out=ctx.write("user_features", USER_FEATURES.select(features), where={"as_of": as_ofs}))
    profiles = user_profiles(
        [ctx.as_of],
        category_days,
        clicks=ctx.read("clicks"),
        order_lines=ctx.read("order_lines"),
        products=ctx.read("products"),
        settings=settings,
    )
    ctx.write("user_profiles", profiles, where={"as_of": ctx.as_of})


JOB = Job(
    name="build_features",
    reads=("user_days", "user_category_days", "clicks", "order_lines", "products", "users"),
    writes=("user_features", "user_profiles"),
    run=run,
)

if __name__ == "__main__":
    main(JOB)
