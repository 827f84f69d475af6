"""Tests of offerlake.features."""
