"""Tests of the deep model."""
