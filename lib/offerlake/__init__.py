"""Offerlake: clickstream and order logs in, per-user offers out."""

__version__ = "0.1.0"
