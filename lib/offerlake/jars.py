"""The JARs that Spark needs beside its own, fetched once by Spark's own resolver."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import pyspark

from offerlake.errors import EnvironmentProblem

_SPARK, _SCALA = "4.2", "2.13"


def coordinates() -> tuple[str, ...]:
    """Maven coordinates of what is needed, versions as installed."""
    delta, spark = importlib.metadata.version("delta-spark"), importlib.metadata.version("pyspark")
    return (
        f"io.delta:delta-spark_{_SPARK}_{_SCALA}:{delta}",
        f"org.apache.spark:spark-avro_{_SCALA}:{spark}",
        f"org.apache.spark:spark-sql-kafka-0-10_{_SCALA}:{spark}",
    )


def jars_dir() -> Path:
    """Where the JARs lie, see `own_dir`."""
    return own_dir("jars")


def own_dir(name: str) -> Path:
    """A folder of ours in the environment (`.venv/name`), or in the user's cache where that cannot be written."""
    inside = Path(sys.prefix) / name
    if inside.is_dir() or os.access(sys.prefix, os.W_OK):
        return inside
    return Path.home() / ".cache" / "offerlake" / name


def installed() -> list[Path]:
    """The JARs that are there; empty when one of those needed is missing."""
    there = sorted(jars_dir().glob("*.jar"))
    names = " ".join(jar.name for jar in there)
    wanted = (coordinate.split(":")[1:] for coordinate in coordinates())
    return there if all(f"{artifact}-{version}.jar" in names for artifact, version in wanted) else []


def fetch() -> list[Path]:
    """Fetches what is missing, and returns all JARs.

    Raises:
        EnvironmentProblem: Spark could not resolve them, for example without a network.
    """
    if not (there := installed()):
        own = {_artifact(jar.name) for jar in (Path(pyspark.__file__).parent / "jars").glob("*.jar")}
        resolve(coordinates(), jars_dir(), without=own)
        there = installed()
    return there


def resolve(wanted: Sequence[str], target: Path, *, without: Collection[str] = ()) -> None:
    """Fetches JARs and all that they need into a folder, by Spark's own resolver.

    Args:
        wanted: Maven coordinates.
        target: The folder; nothing is in it if this fails.
        without: Artifacts, without version, to leave out.

    Raises:
        EnvironmentProblem: Spark could not resolve them.
    """
    with tempfile.TemporaryDirectory() as ivy:
        script = (
            "from pyspark.sql import SparkSession as S;"
            f"S.builder.master('local[1]').config('spark.jars.packages', {','.join(wanted)!r})"
            f".config('spark.jars.ivy', {ivy!r}).config('spark.ui.enabled', 'false').getOrCreate().stop()"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        found = sorted((Path(ivy) / "jars").glob("*.jar"))
        if done.returncode or not found:
            lines = [line for line in done.stderr.splitlines() if "rror" in line or "unresolved" in line]
            raise EnvironmentProblem(
                f"the JARs {', '.join(wanted)} could not be fetched: {' '.join(lines[:2]).strip()[:300]}",
                fix=f"Check the network and run `make setup` again, or put them into {target}.",
            )
        target.mkdir(parents=True, exist_ok=True)
        for jar in found:
            # Ivy puts the organisation before the name: org.group_name-1.0.jar.
            to = target / jar.name.split("_", 1)[1]
            if _artifact(to.name) in without:
                continue
            shutil.copyfile(jar, to.with_suffix(".part"))
            to.with_suffix(".part").rename(to)


def _artifact(name: str) -> str:
    return re.sub(r"-\d[\w.\-]*\.jar$", "", name)


if __name__ == "__main__":
    try:
        for path in fetch():
            sys.stdout.write(f"{path}\n")
    except EnvironmentProblem as problem:
        sys.exit(f"{problem.message}\n{problem.fix}")
