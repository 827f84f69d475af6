"""Tests of what is needed on a cluster."""
