"""One small shop for all tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from tests.conftest import TEST_SETS

from offerlake.config import Settings, load_settings
from offerlake.simulate import Summary, simulate_shop

SMALL = (
    *TEST_SETS,
    "simulate.users=120",
    "simulate.bots=0.05",
    "simulate.duplicates=0.05",
    "simulate.malformed=0.06",
    "simulate.unknown=0.05",
    "simulate.clock_skew=0.03",
    "simulate.late=0.05",
)


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


@pytest.fixture(scope="session")
def shop(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """120 users and much dirt."""
    settings = load_settings([], SMALL, env={})
    root = tmp_path_factory.mktemp("shop")
    summary = simulate_shop(spark, settings, landing=str(root / "landing"), truth=str(root / "truth"))
    return Shop(settings, root / "landing", root / "truth", summary)
