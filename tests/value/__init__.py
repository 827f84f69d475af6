"""Tests of offerlake.value."""
