"""What the tests share: a shop as made, and changed settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from offerlake.config import Settings
from offerlake.simulate import Summary

DIRTY = {
    "users": 120, "bots": 0.05, "duplicates": 0.05, "malformed": 0.06, "unknown": 0.05, "clock_skew": 0.03,
    "late": 0.05,
}  # fmt: skip
"""A small shop with much dirt."""


@dataclass(frozen=True)
class Shop:
    """A shop as made."""

    settings: Settings
    landing: Path
    truth: Path
    summary: Summary

    def table(self, name: str) -> pd.DataFrame:
        """A table of the truth."""
        return pd.read_parquet(self.truth / name)


def changed(settings: Settings, **own: float) -> Settings:
    """The settings with others of the section `simulate`."""
    return settings.model_copy(update={"simulate": settings.simulate.model_copy(update=own)})
