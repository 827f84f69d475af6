"""Choosing among variants and judging the choice on the same users, without one helping the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Generic, TypeVar

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from offerlake.randomness import fold

Name = TypeVar("Name", str, float)
_UNIT = 1e9  # values are summed as whole billionths: exact, and the same in whatever order


@dataclass(frozen=True)
class Chosen(Generic[Name]):
    """What was chosen.

    Attributes:
        name: The variant with the highest mean over all users; the default where there are none.
        judged: One row a user: the metrics of the variant that is best for the *other* half of the users.
    """

    name: Name
    judged: DataFrame


def choose(variants: Mapping[Name, DataFrame], *, metric: str, default: Name, seed: int) -> Chosen[Name]:
    """Takes the variant with the highest mean of `metric`, ties to the one named first.

    The better of several on some users looks better there than it is. So each user is judged by the variant that the
    other half of the users chose.

    Args:
        variants: Name to one row a user: user_id and metrics; the same users and columns in all.
        metric: What is to be high.
        default: What to take where there are no users.
        seed: Of the halves.
    """
    half = fold(seed, "selection", 2, F.col("user_id"))
    names = list(variants)
    sums = {
        (row["variant"], row["half"]): row["total"]
        for row in reduce(
            DataFrame.unionByName,
            [
                variants[name].select(
                    F.lit(place).alias("variant"),
                    half.alias("half"),
                    F.round(F.col(f"`{metric}`") * _UNIT).cast("bigint").alias("value"),
                )
                for place, name in enumerate(names)
            ],
        )
        .groupBy("variant", "half")
        .agg(F.sum("value").alias("total"))
        .collect()
    }
    places = range(len(names))

    def best(*halves: int) -> Name:
        return names[max(places, key=lambda place: sum(sums.get((place, part), 0) for part in halves))]

    of_other = {part: best(1 - part) for part in (0, 1)}
    judged = [variants[name].where(half == part) for part, name in of_other.items()]
    return Chosen(best(0, 1) if sums else default, judged[0].unionByName(judged[1]))
