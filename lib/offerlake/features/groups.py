"""Groups of users by what is known of them without any event: whose popular products a new user gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.features.clocks import valid_on, versions


def user_groups(read: Callable[[str], DataFrame], *, by: Sequence[str], as_of: date) -> DataFrame | None:
    """The group that each user was known to be of on a day: user_id, group (`north`, `north, 25-34`).

    Users of whom one of the attributes is not known have none.

    Args:
        read: Name to table: `users` is read where there are groups.
        by: Columns of it; empty: None, there are no groups.
        as_of: The day.
    """
    if not by:
        return None
    dated = versions(read("users"), "user_id", [*by]).where(valid_on(F.lit(as_of))).dropna(subset=[*by])
    return dated.select("user_id", F.concat_ws(", ", *by).alias("group"))
