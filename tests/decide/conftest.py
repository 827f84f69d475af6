"""The small shop as a fixture."""

from __future__ import annotations

import pytest
from pyspark.sql import SparkSession

from decide.made import small_shop
from offerlake.decide.assignment import Catalogue


@pytest.fixture(scope="session")
def catalogue(spark: SparkSession) -> Catalogue:
    """Five users (one without consent, one without offers), four offers, four products."""
    return small_shop(spark)
