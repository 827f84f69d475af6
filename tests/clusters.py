"""What tests need that start a cluster on this machine."""

from __future__ import annotations

from pathlib import Path

import pyspark

QUICK_START = {"JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
"""Environment for Java processes that live for seconds: compiling thoroughly costs more than running."""


def spark_home(folder: Path) -> Path:
    """A Spark home that links to the installed one: a `local-cluster` keeps its executors' work folders in its home."""
    folder.mkdir()
    for entry in Path(pyspark.__file__).parent.iterdir():
        if entry.name != "work":
            (folder / entry.name).symlink_to(entry)
    return folder
