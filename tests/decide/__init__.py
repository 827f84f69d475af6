"""Tests of who gets what."""
