"""Tests by real processes: spark-submit, and executors that have only what was shipped to them."""
