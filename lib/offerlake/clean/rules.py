"""By what the records of a feed are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import Column

from offerlake.clean.parse import Parser, Reading
from offerlake.config import CleanSettings


@dataclass(frozen=True)
class Rules:
    """What cleaning a feed has to know beside its records.

    Attributes:
        settings: Of cleaning.
        reading: How the feed's values are written.
        quote: Characters of a refused value that its reason quotes.
        expected: Further reasons to refuse a typed record: a string, or null.
    """

    settings: CleanSettings
    reading: Reading
    quote: int
    expected: Sequence[Column] = ()

    @cached_property
    def parse(self) -> Parser:
        """Parses the feed's columns."""
        return Parser(self.reading, self.quote, self.settings)
