"""Tests of the test shop."""
