"""Tests of the response and effect models."""
