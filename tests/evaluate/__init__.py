"""Tests of the judges and the report."""
