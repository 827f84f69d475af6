"""Money of several currencies in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from pyspark.sql import Column
from pyspark.sql import functions as F

from offerlake.config import CleanSettings
from offerlake.schemas import MONEY

_RATE = "decimal(18,8)"


@dataclass(frozen=True)
class Exchange:
    """What a record's money is worth.

    Attributes:
        rate: Units of our currency for one of the record's; None: every record is in ours.
        problem: The reason why there is no rate, or null.
    """

    rate: Column | None
    problem: Column

    def ours(self, amount: Column) -> Column:
        """The amount in our currency, half a ten-thousandth rounded up; null where it is too large."""
        return amount if self.rate is None else F.try_multiply(amount, self.rate).try_cast(MONEY)


def exchange(currency: Column, at: Column, settings: CleanSettings, *, shown: Column) -> Exchange:
    """Looks up the rates of the setting `clean.rates`.

    Args:
        currency: The record's; null: ours.
        at: When: the newest rate of that day or before it counts.
        settings: Of cleaning. Without `clean.currency` a record that names any currency is refused.
        shown: The currency as a reason quotes it.
    """
    reason = F.concat(F.lit("unknown:currency='"), shown, F.lit("'"))
    if settings.currency is None:
        return Exchange(None, F.when(currency.isNotNull(), reason))
    code = F.upper(currency)
    rate = F.when(currency.isNull() | (code == settings.currency), F.lit(1).cast(_RATE))
    for name, since in sorted(settings.rates.items()):
        rate = rate.when(code == name, _rate_at(since, at))
    unknown = F.when(rate.isNull() & at.isNotNull(), reason)
    return Exchange(F.coalesce(rate, F.lit(1).cast(_RATE)), unknown)  # what is refused needs no second reason


def _rate_at(since: Mapping[date, Decimal], at: Column) -> Column:
    steps = [
        F.struct(F.lit(day).cast("timestamp").alias("since"), F.lit(rate).cast(_RATE).alias("rate"))
        for day, rate in sorted(since.items())
    ]
    return F.try_element_at(F.filter(F.array(*steps), lambda step: step["since"] <= at), F.lit(-1))["rate"]
