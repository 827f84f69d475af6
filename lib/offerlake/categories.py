"""Category paths: 'Dairy > Milk' is Milk within Dairy."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

SEPARATOR = " > "


def top_category(path: Column) -> Column:
    """The first part of a category path."""
    return F.split_part(path, F.lit(SEPARATOR), F.lit(1))


def levels(path: Column) -> Column:
    """A category path and all that it lies below: of 'Dairy > Milk' that and 'Dairy', the widest first.

    Spark interprets this: for each product, not for each row of a log.
    """
    parts = F.split(path, SEPARATOR)
    return F.transform(
        F.sequence(F.lit(1), F.size(parts)), lambda length: F.array_join(F.slice(parts, 1, length), SEPARATOR)
    )
