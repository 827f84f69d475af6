"""Spark deals GPUs to tasks by the settings of conf/gpu.yaml and the discovery script, here with a made-up driver."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from clusters import QUICK_START, spark_home
from offerlake.config import load_settings

SCRIPT = Path(__file__).parents[2] / "deploy" / "gpu_discovery.sh"
TWO_TASKS = """
import json, sys, time
from pyspark import TaskContext
from pyspark.sql import SparkSession

def addresses(_):
    time.sleep(3)  # both run at once
    return TaskContext.get().resources()["gpu"].addresses

builder = SparkSession.builder.master("local-cluster[1,2,1024]")
for name, value in json.loads(sys.argv[1]).items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
print(json.dumps(spark.sparkContext.parallelize(range(2), 2).map(addresses).collect()))
spark.stop()
"""


@pytest.mark.processes
def test_two_tasks_get_a_gpu_each(tmp_path: Path) -> None:
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    driver.chmod(0o755)
    conf = load_settings(["gpu"], env={}).spark.conf | {
        "spark.worker.resource.gpu.amount": "2",
        "spark.worker.resource.gpu.discoveryScript": str(SCRIPT),
        "spark.executor.resource.gpu.amount": "2",
        "spark.executor.resource.gpu.discoveryScript": str(SCRIPT),
        "spark.executor.cores": "2",
        "spark.executor.memory": "512m",
        "spark.task.cpus": "1",
        "spark.ui.enabled": "false",
        "spark.pyspark.python": sys.executable,
    }
    done = subprocess.run(
        [sys.executable, "-c", TWO_TASKS, json.dumps(conf)],
        env=os.environ
        | QUICK_START
        | {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "PYSPARK_PYTHON": sys.executable,
            "SPARK_HOME": str(spark_home(tmp_path / "spark")),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert sorted(json.loads(done.stdout.splitlines()[-1])) == [["0"], ["1"]]
