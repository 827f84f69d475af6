"""One small shop for all tests of this folder."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from offerlake.config import Settings
from offerlake.simulate import simulate_shop
from simulate.made import DIRTY, Shop, changed


@pytest.fixture(scope="session")
def shop(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """120 users and much dirt."""
    own = changed(settings, **DIRTY)
    root = tmp_path_factory.mktemp("shop")
    summary = simulate_shop(spark, own, landing=str(root / "landing"), truth=str(root / "truth"))
    return Shop(own, root / "landing", root / "truth", summary)
