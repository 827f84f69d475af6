"""Single jobs by spark-submit, each a process of its own, as a scheduler would start them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest
from pyspark.sql import SparkSession

from clusters import QUICK_START
from offerlake import jars
from offerlake.tables import Lake
from whole.conftest import ROOT, USERS, Demo


def submit(job: str, *options: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    home = Path(pyspark.__file__).parent
    command = [home / "bin" / "spark-submit", "--master", "local[2]", "--driver-memory", "1g"]
    command += ["--conf", "spark.ui.enabled=false", "--jars", ",".join(map(str, jars.installed()))]
    command += [ROOT / "jobs" / job, "--as-of", "2025-09-03", "--set", "spark.shuffle_partitions=2", *options]
    return subprocess.run(
        command,
        env=os.environ | QUICK_START | {"SPARK_HOME": str(home), "PYSPARK_PYTHON": sys.executable},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.processes
def test_two_jobs_one_after_the_other(spark: SparkSession, demo: Demo, tmp_path: Path) -> None:
    lake = ["--lake", str(tmp_path / "lake")]
    first = submit("ingest.py", *lake, "--set", f"run.landing={demo.root / 'lake-landing'}", cwd=tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr[-3000:]
    second = submit("clean_users.py", *lake, cwd=tmp_path)
    assert second.returncode == 0, second.stdout + second.stderr[-3000:]
    users = Lake(spark, str(tmp_path / "lake")).read("users")
    assert users.select("user_id").distinct().count() >= USERS


@pytest.mark.processes
def test_a_mistake_ends_with_its_exit_code_and_the_fix(tmp_path: Path) -> None:
    done = submit("ingest.py", "--lake", str(tmp_path / "lake"), "--set", "run.landign=x", cwd=tmp_path)
    assert done.returncode == 2
    assert "Did you mean run.landing?" in done.stdout  # spark-submit gives both streams of the program on stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "lake").exists()
