"""All jobs in one application of two executor processes, killed in the middle and gone on with.

The executors have Offerlake only from the archive. What comes out is what the demo in one session gave, row for row.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from clusters import QUICK_START, spark_home
from offerlake import blas
from offerlake.tables import Lake
from whole.conftest import DAY, ROOT, SETS, Demo, Shipped, options

LIBRARIES = "spark.executor.extraLibraryPath"


@pytest.mark.processes
def test_the_environment_has_offerlake_from_the_archive_alone(shipped: Shipped, tmp_path: Path) -> None:
    with tarfile.open(shipped.archive) as content:
        content.extractall(tmp_path, filter="fully_trusted")
    told = "import offerlake.config, pyspark, horovod, sys; sys.stdout.write(offerlake.__file__)"
    done = subprocess.run([tmp_path / "bin" / "python", "-c", told], check=True, capture_output=True, text=True)
    assert done.stdout == str(tmp_path / "lib" / "python3.11" / "site-packages" / "offerlake" / "__init__.py")
    (tmp_path / "lib" / "python3.11" / "site-packages" / "offerlake").rename(tmp_path / "gone")
    without = subprocess.run([tmp_path / "bin" / "python", "-c", told], check=False, capture_output=True, text=True)
    assert "No module named 'offerlake.config'" in without.stderr


@pytest.mark.processes
def test_killed_on_executors_and_run_again_it_is_the_same_row_for_row(
    demo: Demo, shipped: Shipped, spark: SparkSession, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    budget = demo.answer["metrics"]["offers.budget"]
    sets = (
        *SETS,
        f"decide.budget={budget}",
        f"run.publish={json.dumps(str(tmp_path / 'published'))}",
        "run.parallel=2",
        "clean.look_back_days=null",  # as on a laptop: else it is another run
    )
    command = [ROOT / "deploy" / "spark-submit.sh", "standalone", "run", "--as-of", DAY, "--config", "demo", "--json"]
    command += ["--lake", str(lake), "--landing", str(demo.root / "lake-landing")]
    command += options(*sets, "spark.shuffle_partitions=2", "spark.snapshot_partitions=1")
    environment = os.environ | QUICK_START | {
        "MASTER": "local-cluster[2,1,2048]",
        "SPARK_HOME": str(spark_home(tmp_path / "spark")),
        "ARCHIVE": str(shipped.archive),
        # The shipped environment has no SciPy of its own to make the library from.
        "SUBMIT_ARGS": f"--driver-memory 1g --conf spark.ui.enabled=false --conf {LIBRARIES}={blas.libraries()}",
    }  # fmt: skip

    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=environment,
        cwd=tmp_path,
    )
    assert process.stdout is not None
    told = []
    for line in process.stdout:  # spark-submit gives both streams of the program on stdout
        told.append(line)
        if " clean_clicks " in line:
            break
    os.killpg(process.pid, signal.SIGKILL)  # driver, executors and Python workers, whatever they are doing
    process.wait()
    process.stdout.close()
    assert " clean_clicks " in told[-1], "".join(told)[-4000:]
    assert not Lake(spark, str(lake)).exists("user_offers")

    before = set(shipped.imports.iterdir())
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    answer = next(line for line in done.stdout.splitlines() if line.startswith("{"))
    assert json.loads(answer)["run_id"] == demo.lake.read("user_offers").first()["run_id"]  # type: ignore[index]
    found = Lake(spark, str(lake))
    finished = found.read("runs").where(F.col("event") == "finish").groupBy("job").count().collect()
    attempts = {row["job"]: row["count"] for row in finished}
    assert attempts.keys() == _finished(demo.lake)
    assert attempts["clean_users"] == attempts["clean_clicks"] == 1, "what had finished is not done again"
    assert found.read("offer_scores").where(F.col("p_deep").isNull()).count() == 0
    assert _rows(found.read("user_offers")) == _rows(demo.lake.read("user_offers"))
    places = {path.read_text() for path in set(shipped.imports.iterdir()) - before}
    # Each executor unpacked the archive into its own work folder, and Python workers took Offerlake from there.
    assert len(places) == 2
    assert all("/environment/lib/python3.11/site-packages/offerlake/" in place for place in places)


def _finished(lake: Lake) -> set[str]:
    rows = lake.read("runs").where(F.col("event") == "finish").select("job").distinct().collect()
    return {row["job"] for row in rows}


def _rows(frame: DataFrame) -> list[str]:
    return sorted(str(row) for row in frame.collect())
