"""How far a distribution has moved: the population stability index, and what chance alone would give.

Numbers are looked at in two significant digits, so that their counts by value are few: they come out of the same pass
as all else, exact and in no random order, where sketches of quantiles would be neither.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from itertools import accumulate

from pyspark.sql import Column
from pyspark.sql import functions as F

GROUPS = 10
"""Groups that values are put into: deciles of the reference, or its most frequent words and one for the others."""

_TRACKED = 8192  # values counted exactly; two digits of all numbers from 1e-9 to 1e9 are half as many
_NORMAL = 3.0902  # 99.9 % quantile of the normal distribution


def counted(value: Column, where: Column, *, number: bool) -> Column:
    """An aggregate: (item, count) of each value in the rows of `where`; numbers in two significant digits."""
    looked_at = _two_digits(value.cast("double")) if number else value.cast("string")
    return F.call_function("approx_top_k", F.when(where, looked_at), F.lit(_TRACKED), F.lit(_TRACKED))


def _two_digits(value: Column) -> Column:
    size = F.pow(F.lit(10.0), F.floor(F.log10(F.abs(value))) - 1)
    return F.when(value == 0, F.lit(0.0)).otherwise(F.round(value / size) * size)


def stability_index(
    reference: Mapping[float | str, int], newest: Mapping[float | str, int]
) -> tuple[float | None, float]:
    """The population stability index Σ (p − q) ln(p / q) over groups of values, and its limit by chance.

    q and p are the shares of the reference and of the newest values in a group, (n + 1/2) / (N + B/2) of B groups, so
    that an empty group leaves it finite. Groups are the deciles of the reference, fewer where values repeat; of words
    the most frequent of the reference and all others. Source: N. Siddiqi, Credit Risk Scorecards, 2006, where below
    0.1 counts as none, above 0.25 as a large shift.

    Without a shift the index is (1/n + 1/m) times a chi-square of B − 1 degrees (B. Yurdakul and J. Naranjo,
    Statistical properties of the population stability index, Journal of Risk Model Validation 14, 2020): of that the
    99.9 % quantile is the limit.

    Args:
        reference: Value to its count in the days to compare with.
        newest: Value to its count in the newest days.

    Returns:
        The index, ≥ 0 (None: one of the two is empty), and the limit (infinite then).
    """
    known, new = sum(reference.values()), sum(newest.values())
    if not known or not new:
        return None, math.inf
    group = _groups(reference)
    shares = []
    for counts, total in ((reference, known), (newest, new)):
        sizes = [0.0] * (GROUPS + 1)
        for value, count in counts.items():
            sizes[group(value)] += count
        shares.append((sizes, total))
    used = [place for place in range(GROUPS + 1) if shares[0][0][place] or shares[1][0][place]]
    q, p = ([(sizes[place] + 0.5) / (total + 0.5 * len(used)) for place in used] for sizes, total in shares)
    index = sum((new - old) * math.log(new / old) for new, old in zip(p, q, strict=True))
    return index, (1 / known + 1 / new) * _chi_square(len(used) - 1)


def _groups(reference: Mapping[float | str, int]) -> Callable[[float | str], int]:
    """A function from a value to the number of its group."""
    if any(isinstance(value, str) for value in reference):
        first = sorted(reference, key=lambda value: (-reference[value], str(value)))[:GROUPS]
        places = {value: place for place, value in enumerate(first)}
        return lambda value: places.get(value, GROUPS)
    values = sorted(float(value) for value in reference)
    so_far = list(accumulate(reference[value] for value in values))
    deciles = (values[bisect_left(so_far, so_far[-1] * part / GROUPS)] for part in range(1, GROUPS))
    ends = sorted(set(deciles))
    return lambda value: bisect_left(ends, float(value))


def _chi_square(degrees: int) -> float:
    """The 99.9 % quantile, by Wilson and Hilferty's cube root (1931): at most 4 % too high, for one degree."""
    if degrees == 0:
        return 0.0
    spread = 2 / (9 * degrees)
    return degrees * (1 - spread + _NORMAL * math.sqrt(spread)) ** 3
