"""All jobs in one application of two executor processes, which have Offerlake only from the archive."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from clusters import QUICK_START, spark_home
from distributed.conftest import ROOT, USERS, Shipped
from offerlake.pipeline import load_jobs
from offerlake.tables import Lake

SETS = (
    "spark.shuffle_partitions=2",
    "spark.snapshot_partitions=1",
    "deep.processes=2",
    "deep.epochs=1",
    "response.trees=3",
    "evaluate.bootstrap=20",
)


@pytest.mark.processes
def test_the_environment_has_offerlake_from_the_archive_alone(shipped: Shipped, tmp_path: Path) -> None:
    with tarfile.open(shipped.archive) as content:
        content.extractall(tmp_path, filter="fully_trusted")
    told = "import offerlake, pyspark, horovod, sys; sys.stdout.write(offerlake.__file__)"
    done = subprocess.run([tmp_path / "bin" / "python", "-c", told], check=True, capture_output=True, text=True)
    assert done.stdout == str(tmp_path / "lib" / "python3.11" / "site-packages" / "offerlake" / "__init__.py")
    (tmp_path / "lib" / "python3.11" / "site-packages" / "offerlake").rename(tmp_path / "gone")
    without = subprocess.run([tmp_path / "bin" / "python", "-c", told], check=False, capture_output=True, text=True)
    assert "No module named 'offerlake'" in without.stderr


@pytest.mark.processes
def test_the_chain_runs_on_executors_with_what_was_shipped(
    spark: SparkSession, landing: Path, shipped: Shipped, tmp_path: Path
) -> None:
    before = set(shipped.imports.iterdir())
    lake = tmp_path / "lake"
    options = ["--as-of", "2025-09-03", "--lake", str(lake), "--landing", str(landing), "--json"]
    options += ["--set", f"run.publish={json.dumps(str(tmp_path / 'published'))}"]
    options += [word for setting in SETS for word in ("--set", setting)]
    done = subprocess.run(
        [ROOT / "deploy" / "spark-submit.sh", "standalone", "run", *options],
        env=os.environ
        | QUICK_START
        | {
            "MASTER": "local-cluster[2,1,2048]",
            "SPARK_HOME": str(spark_home(tmp_path / "spark")),
            "ARCHIVE": str(shipped.archive),
            "SUBMIT_ARGS": "--driver-memory 1g --conf spark.ui.enabled=false",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    written = Lake(spark, str(lake))
    runs = written.read("runs").where(F.col("event") == "finish")
    assert {row["job"] for row in runs.collect()} == {*load_jobs(), "pipeline"}
    assert written.read("user_offers").count() == written.read("users").count() >= USERS
    assert written.read("offer_scores").where(F.col("p_deep").isNull()).count() == 0
    places = {path.read_text() for path in set(shipped.imports.iterdir()) - before}
    # Each executor unpacked the archive into its own work folder, and Python workers took Offerlake from there.
    assert len(places) == 2
    assert all("/environment/lib/python3.11/site-packages/offerlake/" in place for place in places)
