"""Accounts that the shop's own people test with."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.clean.quarantine import because, refuse


def refuse_test_accounts(frame: DataFrame, test_users: Sequence[str], *, quote: int) -> DataFrame:
    """Refuses good rows of test accounts.

    Args:
        frame: Rows with `user_id`.
        test_users: Ids, in which * stands for any letters and ? for one.
        quote: Characters of the id that the reason quotes.
    """
    if not test_users:
        return frame
    return refuse(frame, _matches(test_users), because("test_account", "user_id", quote=quote))


def _matches(globs: Sequence[str]) -> Column:
    signs = {"*": ".*", "?": "."}
    patterns = ["".join(signs.get(letter, re.escape(letter)) for letter in glob) for glob in globs]
    return F.col("user_id").rlike(f"(?s)^({'|'.join(patterns)})$")
