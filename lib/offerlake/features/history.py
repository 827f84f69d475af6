"""Whether there is any history at all as of a day."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.errors import DataError
from offerlake.windows import known_before, midnight


def require_history(as_of: date, *, clicks: DataFrame, order_lines: DataFrame) -> None:
    """Stops where no click and no order had happened and arrived before `as_of`: a typo in the year, most likely.

    Args:
        as_of: The day.
        clicks: Silver, whole.
        order_lines: Silver, whole.

    Raises:
        DataError: There is nothing before it.
    """
    both = clicks.select(F.col("event_time").alias("happened"), "arrived_at").unionByName(
        order_lines.select(F.col("order_time").alias("happened"), "arrived_at")
    )
    moment = F.lit(midnight(as_of))
    if not both.where(known_before(moment, happened=F.col("happened"), arrived=F.col("arrived_at"))).isEmpty():
        return
    first = both.agg(F.date_add(F.to_date(F.min(F.greatest("happened", "arrived_at"))), 1)).first()
    since = first[0] if first else None
    raise DataError(
        f"as_of: got {as_of}, before which no click and no order had arrived",
        fix=f"Give {since} or a later day." if since else "Land clicks or orders first.",
    )
