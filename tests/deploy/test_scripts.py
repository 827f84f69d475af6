"""The scripts and images of `deploy/`: what they would do, without a cluster or a Docker engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from offerlake.config import load_settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
IMAGES = sorted(path.name for path in (DEPLOY / "docker").glob("Dockerfile*") if "ignore" not in path.name)


def run(script: str, *arguments: str, path: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    search = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]
    clean = {name: value for name, value in os.environ.items() if name not in {"SPARK_HOME", "PYSPARK_PYTHON"}}
    return subprocess.run(
        [DEPLOY / script, *arguments], env=clean | {"PATH": search} | env, capture_output=True, text=True, check=False
    )


def program(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{body}\n")
    (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> str:
    (tmp_path / "env.tar.gz").touch()
    return str(tmp_path / "env.tar.gz")


def test_scripts_are_executable_shell() -> None:
    scripts = sorted(DEPLOY.rglob("*.sh"))
    assert len(scripts) == 4
    for script in scripts:
        assert os.access(script, os.X_OK), script
        assert subprocess.run(["bash", "-n", script], check=False).returncode == 0, script


@pytest.mark.parametrize(("found", "addresses"), [("0\n1", ["0", "1"]), (" 3", ["3"]), ("", [])])
def test_discovery_lists_the_gpus_of_nvidia_smi(tmp_path: Path, found: str, addresses: list[str]) -> None:
    done = run("gpu_discovery.sh", path=program(tmp_path / "bin", "nvidia-smi", f"printf '{found}'"))
    assert json.loads(done.stdout) == {"name": "gpu", "addresses": addresses}


def test_discovery_fails_where_the_driver_does(tmp_path: Path) -> None:
    assert run("gpu_discovery.sh", path=program(tmp_path / "bin", "nvidia-smi", "exit 9")).returncode != 0


def test_yarn_ships_environment_and_jars(archive: str) -> None:
    done = run("spark-submit.sh", "yarn", "train_deep", "--as-of", "2025-09-03", DRY_RUN="1", ARCHIVE=archive)
    words = shlex.split(done.stdout)
    assert words[0].endswith("pyspark/bin/spark-submit")
    options = dict(pairwise(words))
    assert options["--master"] == "yarn"
    assert options["--archives"] == f"{archive}#environment"
    assert any("delta-spark" in jar and Path(jar).is_file() for jar in options["--jars"].split(","))
    assert "spark.pyspark.python=./environment/bin/python" in words
    assert f"spark.pyspark.driver.python={ROOT}/.venv/bin/python" in words
    assert "spark.executor.extraLibraryPath=./environment/native" in words
    assert options["--driver-library-path"] == f"{ROOT}/.venv/native"
    assert words[-5:] == [f"{ROOT}/jobs/train_deep.py", "--config", "cluster", "--as-of", "2025-09-03"]


def test_yarn_s_own_driver_uses_the_shipped_environment(archive: str) -> None:
    done = run("spark-submit.sh", "yarn", "run", "--as-of", "x", DRY_RUN="1", ARCHIVE=archive, DEPLOY_MODE="cluster")
    words = shlex.split(done.stdout)
    assert "spark.yarn.appMasterEnv.PYSPARK_PYTHON=./environment/bin/python" in words
    assert not any(word.startswith("spark.pyspark.driver.python") for word in words)
    assert words[-6:] == [f"{ROOT}/deploy/pipeline.py", "run", "--config", "cluster", "--as-of", "x"]


def test_kubernetes_uses_the_image() -> None:
    given = {"DRY_RUN": "1", "MASTER": "k8s://https://host", "IMAGE": "registry/offerlake:1"}
    done = run("spark-submit.sh", "kubernetes", "run", "--as-of", "x", DEPLOY_MODE="cluster", **given)
    words = shlex.split(done.stdout)
    assert "spark.kubernetes.container.image=registry/offerlake:1" in words
    assert "local:///opt/offerlake/app/deploy/pipeline.py" in words
    assert "--archives" not in words


@pytest.mark.parametrize(
    ("arguments", "env", "told"),
    [
        (["yarn"], {}, "usage"),
        (["mesos", "run", "x"], {}, "cluster manager mesos"),
        (["yarn", "train_depe", "x"], {}, "job train_depe does not exist: there are run .*train_deep"),
        (["yarn", "run", "x"], {"ARCHIVE": "/nowhere/env.tar.gz"}, "run deploy/pack.sh"),
        (["standalone", "run", "x"], {"DEPLOY_MODE": "cluster"}, "client mode only"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], env: dict[str, str], told: str) -> None:
    done = run("spark-submit.sh", *arguments, **env)
    assert done.returncode == 2
    assert re.search(told, done.stderr)


def test_an_executor_s_pod_starts_spark_s_backend(tmp_path: Path) -> None:
    path = program(tmp_path / "bin", "tini", "printf '%s\\n' \"$@\"")
    names = ("DRIVER_URL", "EXECUTOR_ID", "EXECUTOR_CORES", "APPLICATION_ID", "EXECUTOR_POD_IP", "EXECUTOR_POD_NAME")
    env = {f"SPARK_{name}": name.lower() for name in names}
    env |= {f"SPARK_JAVA_OPT_{number}": f"-Doption={number}" for number in range(11)}
    env |= {
        "SPARK_EXECUTOR_MEMORY": "2g",
        "SPARK_RESOURCE_PROFILE_ID": "0",
        "SPARK_HOME": "/spark",
        "JAVA_HOME": "/jdk",
    }
    words = run("docker/entrypoint.sh", "executor", path=path, **env).stdout.splitlines()
    assert words[:3] == ["-s", "--", "/jdk/bin/java"]
    assert words[3:14] == [f"-Doption={number}" for number in range(11)]
    assert words[words.index("-cp") + 1].endswith(":/spark/jars/*")
    assert words[words.index("--driver-url") + 1] == "driver_url"
    assert words[words.index("--podName") + 1] == "executor_pod_name"


@pytest.mark.parametrize("name", IMAGES)
def test_images_copy_what_there_is_and_nothing_that_is_ignored(name: str) -> None:
    text = (DEPLOY / "docker" / name).read_text()
    kept = [line[1:] for line in (DEPLOY / "docker" / f"{name}.dockerignore").read_text().split() if line[0] == "!"]
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE)
        for source in line.split()[:-1]
        if source != "."
    ]
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, f"{keep}*") for keep in kept), source
    version = re.search(r"^UV_VERSION := (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert version is not None
    assert f"uv=={version.group(1)}" in text
    assert "USER 185" in text


def test_only_the_gpu_image_builds_horovod_for_gpus() -> None:
    assert IMAGES == ["Dockerfile", "Dockerfile.gpu"]
    plain, gpu = ((DEPLOY / "docker" / name).read_text() for name in IMAGES)
    assert "HOROVOD_GPU_OPERATIONS=NCCL" in gpu
    assert "-devel-" in gpu.partition(" AS build")[0]
    assert "HOROVOD_GPU" not in plain


def test_overlays_are_settings_and_fit_each_other() -> None:
    cluster = load_settings(["cluster"], env={})
    assert cluster.spark.master is None
    gpu = load_settings(["cluster", "gpu"], env={})
    conf = gpu.spark.conf
    assert conf["spark.task.cpus"] == conf["spark.executor.cores"]
    assert conf["spark.task.resource.gpu.amount"] == conf["spark.executor.resource.gpu.amount"] == "1"
    script = Path(conf["spark.executor.resource.gpu.discoveryScript"]).name
    assert (DEPLOY / script).is_file()


def test_the_pod_template_is_a_pod_with_an_executor() -> None:
    pod = yaml.safe_load((DEPLOY / "kubernetes" / "executor.yaml").read_text())
    assert pod["kind"] == "Pod"
    assert pod["spec"]["securityContext"]["runAsUser"] == 185
    (container,) = pod["spec"]["containers"]
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
