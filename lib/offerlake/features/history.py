"""Whether there is any history at all as of a day."""

from __future__ import annotations

from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.errors import DataError
from offerlake.features.events import FIRSTS


def require_history(as_of: date, days: DataFrame) -> None:
    """Stops where no user's click or order had happened and arrived before `as_of`: a typo in the year, most likely.

    Args:
        as_of: The day.
        days: The table `user_days`.

    Raises:
        DataError: There is nothing before it.
    """
    row = days.where(F.coalesce(*FIRSTS).isNotNull()).agg(F.min("since")).first()
    since = row[0] if row else None
    if since is None or as_of < since:
        raise DataError(
            f"as_of: got {as_of}, before which no user's click or order had arrived",
            fix=f"Give {since} or a later day." if since else "Land clicks or orders of known users first.",
        )
