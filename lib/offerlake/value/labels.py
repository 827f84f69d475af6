"""Numbers and names of segments that last: a segment is the former run's as long as it has not moved far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from offerlake.value.likelihood import Numbers
from offerlake.value.segments import Choice
from offerlake.value.traits import TRAITS, Scale, from_values, to_values

MODEL_FILE = "segments.json"
_STANDS_OUT = 0.4  # standard deviations from the mean of all users by which a trait is worth a word
_WORDS = 2  # in a name, where two are enough to tell it from the others
_NONE = 0.05  # mean of log(1 + orders of a year) below which a segment's users do not order
NOT_BUYING = "not buying"


@dataclass(frozen=True)
class Labels:
    """The segments of one run, as the next one needs them.

    Attributes:
        choice: Method and number of segments.
        names: Number to name.
        centres: Number to centre, in the traits' own values, which mean the same on every day.
        unused: The lowest number that no segment has had yet.
    """

    choice: Choice
    names: Mapping[int, str]
    centres: Mapping[int, tuple[float, ...]]
    unused: int

    def as_dict(self) -> dict[str, Any]:
        """Content for JSON."""
        segments = [
            {"segment": number, "name": self.names[number], "centre": dict(zip(_names(), centre, strict=True))}
            for number, centre in self.centres.items()
        ]
        return {"method": self.choice[0], "segments": segments, "unused": self.unused}

    @staticmethod
    def of(content: Mapping[str, Any]) -> Labels | None:
        """What `as_dict` gave; None where it is of other traits, which nothing can be matched to."""
        segments = content["segments"]
        if any(sorted(each["centre"]) != sorted(_names()) for each in segments):
            return None
        return Labels(
            choice=(content["method"], len(segments)),
            names={each["segment"]: each["name"] for each in segments},
            centres={each["segment"]: tuple(each["centre"][name] for name in _names()) for each in segments},
            unused=content["unused"],
        )


def label(centres: Numbers, scales: Sequence[Scale], *, choice: Choice, former: Labels | None, limit: float) -> Labels:
    """Gives each segment a number and a name.

    Segments are matched to former ones that are near enough so that the sum of squared distances is least (Kuhn 1955).
    These keep number and name; all others get numbers that were never used, and names by what stands out.

    Args:
        centres: In today's standard deviations (k, traits).
        scales: Today's.
        choice: Method and number of segments.
        former: Those of the run before; None: there are none.
        limit: Root mean square over the traits, in standard deviations, up to which a segment is the same.
    """
    kept: dict[int, int] = {}
    unused = 1
    if former is not None:
        unused = former.unused
        numbers = list(former.centres)
        before = from_values(np.array([former.centres[number] for number in numbers]), scales)
        distances = ((centres[:, None, :] - before[None, :, :]) ** 2).mean(axis=2)
        near = distances <= limit**2
        # All that is too far is equally bad, lest a segment that stayed is given away to spare another a long way.
        for place, old in zip(*linear_sum_assignment(np.where(near, distances, 2 * limit**2)), strict=True):
            if near[place, old]:
                kept[int(place)] = numbers[old]
    places = {place: kept.get(place) for place in range(len(centres))}
    own = to_values(centres, scales)
    names = {number: former.names[number] for number in kept.values()} if former else {}
    found: dict[int, tuple[float, ...]] = {}
    for place, old in places.items():
        number = unused if old is None else old
        unused += old is None
        if old is None:
            names[number] = _name(centres[place], own[place], taken=set(names.values()))
        found[number] = tuple(float(x) for x in np.round(own[place], 9))
    return Labels(choice, {number: names[number] for number in sorted(found)}, dict(sorted(found.items())), unused)


def _name(centre: Numbers, own: Numbers, *, taken: set[str]) -> str:
    """Words for the traits that stand out, most first; more of them, then a number, where the name is taken."""
    order = sorted(range(len(TRAITS)), key=lambda place: (-abs(centre[place]), place))
    words = [
        TRAITS[place].high if centre[place] > 0 else TRAITS[place].low
        for place in order
        if abs(centre[place]) >= _STANDS_OUT
    ]
    orders = _names().index("orders")
    if own[orders] < _NONE:  # how long ago they ordered and for how much says nothing of them
        silent = {word for trait in TRAITS if trait.name != "visits" for word in (trait.high, trait.low)}
        words = [NOT_BUYING, *[word for word in words if word not in silent]]
    words = words or ["like most"]
    for length in range(min(_WORDS, len(words)), len(words) + 1):
        name = ", ".join(words[:length])
        if _set(name) not in [_set(other) for other in taken]:
            return name
    return next(f"{', '.join(words)} {number}" for number in count(2) if f"{', '.join(words)} {number}" not in taken)


def _set(name: str) -> frozenset[str]:
    """The words, whose order would tell nobody two segments apart."""
    return frozenset(name.split(", "))


def _names() -> list[str]:
    return [trait.name for trait in TRAITS]
