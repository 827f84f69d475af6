"""What a row has to keep: the condition that it breaks, for cleaning and for checking alike."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F

from offerlake.config import QualitySettings
from offerlake.quality.expectations import Expectation, load_expectations

QUARANTINE = "quarantine"
REASON = "expectation"
"""Code of the reasons of records that an expectation kept out."""


def broken(expectation: Expectation) -> Column:
    """True where a row breaks a not_null, range or set; a row without a value breaks only the first."""
    column = F.col(expectation.columns[0])
    if expectation.not_null:
        return column.isNull()
    if expectation.words is not None:
        return F.coalesce(~column.isin(*expectation.words), F.lit(False))
    low, high = expectation.range or (None, None)
    number = column.cast("double")
    outside = [number < low] if low is not None else []
    outside += [number > high] if high is not None else []
    wrong = F.lit(False)
    for side in outside:
        wrong = wrong | side
    return F.coalesce(wrong, F.lit(False))


def refusals(settings: QualitySettings, table: str, *, quote: int) -> tuple[Column, ...]:
    """For the cleaning of a table: a reason, or null, for each of its expectations of severity quarantine.

    A reason reads `expectation:<name>='<value>'`, the value cut to `quote` characters.

    Raises:
        ConfigError: The expectations are wrong.
    """
    expected = load_expectations(settings).get(table, ())
    return tuple(F.when(broken(each), _reason(each, quote)) for each in expected if each.severity == QUARANTINE)


def _reason(expectation: Expectation, quote: int) -> Column:
    value = F.left(F.coalesce(F.col(expectation.columns[0]).cast("string"), F.lit("null")), F.lit(quote))
    return F.concat(F.lit(f"{REASON}:{expectation.name}='"), value, F.lit("'"))
