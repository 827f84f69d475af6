"""Accounts that the shop's own people test with."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from offerlake.clean.quarantine import because, refuse
from offerlake.clean.rules import Rules


def refuse_test_accounts(frame: DataFrame, rules: Rules) -> DataFrame:
    """Refuses good rows of the setting's test accounts: ids in which * stands for any letters and ? for one."""
    if not rules.settings.test_users:
        return frame
    return refuse(frame, _matches(rules.settings.test_users), because("test_account", "user_id", quote=rules.quote))


def _matches(globs: Sequence[str]) -> Column:
    signs = {"*": ".*", "?": "."}
    patterns = ["".join(signs.get(letter, re.escape(letter)) for letter in glob) for glob in globs]
    return F.col("user_id").rlike(f"(?s)^({'|'.join(patterns)})$")
