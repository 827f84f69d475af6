"""Seeded draws by key: the same for the same key, whatever the partitioning or the order of the rows.

Every use names its purpose, so that two uses (holdout and fold, say) never correlate.
"""

from __future__ import annotations

import math

from pyspark.sql import Column
from pyspark.sql import functions as F

_BITS = 53
_SPAN = float(2**_BITS)


def draw(seed: int, purpose: str, *keys: Column) -> Column:
    """A 64-bit hash of seed, purpose and keys: xxhash64, as a bigint."""
    return F.xxhash64(F.lit(seed).cast("bigint"), F.lit(purpose), *keys)


def uniform(seed: int, purpose: str, *keys: Column) -> Column:
    """A double, uniform in the open interval (0, 1): the hash's upper 53 bits, plus a half."""
    bits = F.shiftrightunsigned(draw(seed, purpose, *keys), 64 - _BITS)
    return (bits.cast("double") + F.lit(0.5)) / F.lit(_SPAN)


def normal(seed: int, purpose: str, *keys: Column) -> Column:
    """A standard normal double, by Box and Muller (1958), from two uniform draws."""
    radius = F.sqrt(F.lit(-2.0) * F.log(uniform(seed, purpose + ":radius", *keys)))
    return radius * F.cos(F.lit(2 * math.pi) * uniform(seed, purpose + ":angle", *keys))


def exponential(seed: int, purpose: str, *keys: Column) -> Column:
    """A standard exponential double (mean 1)."""
    return -F.log(uniform(seed, purpose, *keys))


def fold(seed: int, purpose: str, folds: int, *keys: Column) -> Column:
    """A fold number from 0 to `folds` − 1; a key is in one fold only."""
    return F.pmod(draw(seed, purpose, *keys), F.lit(folds)).cast("int")
