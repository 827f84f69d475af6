#!/usr/bin/env bash
# Submits the pipeline, or one job, to a cluster.
#
#   deploy/spark-submit.sh yarn       run       --as-of 2025-09-03 --lake hdfs:///offerlake
#   deploy/spark-submit.sh standalone train_als --as-of 2025-09-03 --lake hdfs:///offerlake
#   deploy/spark-submit.sh kubernetes run       --as-of 2025-09-03 --lake s3a://shop/offerlake
#
# What follows the name (`run` is the whole pipeline, `stream` ingests without end) goes to it, after `--config cluster`.
# From the environment:
#   MASTER       spark://host:7077 or k8s://https://host:6443; not needed for yarn
#   DEPLOY_MODE  client (default: the driver runs here) or cluster; standalone takes client only
#   ARCHIVE      the environment made by deploy/pack.sh (default dist/offerlake-env.tar.gz); a URI that nodes can read
#   IMAGE        kubernetes: the image made from deploy/docker; it carries environment and JARs
#   SUBMIT_ARGS  further options of spark-submit, separated by spaces
#   DRY_RUN      when set, print the command instead of running it
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
  echo "$1" >&2
  exit 2
}

[[ $# -ge 2 ]] || fail "usage: deploy/spark-submit.sh yarn|kubernetes|standalone run|JOB [OPTIONS]"
manager=$1 what=$2
shift 2
mode=${DEPLOY_MODE:-client}
archive=${ARCHIVE:-$root/dist/offerlake-env.tar.gz}
python=./environment/bin/python

if [[ $what == run || $what == stream ]]; then
  file=deploy/pipeline.py
  set -- "$what" --config cluster "$@"
else
  file=jobs/$what.py
  set -- --config cluster "$@"
  [[ -f $root/$file ]] || fail "job $what does not exist: there are run $(cd "$root/jobs" && echo *.py | sed 's/\.py//g')"
fi
app=$root/$file
options=(--deploy-mode "$mode" --name "offerlake-$what")
# As AVRO_LIMITS in session.py: garbage read as Avro gets no room for a text of gigabytes.
limits=org.apache.avro.limits
options+=(--conf "spark.executor.defaultJavaOptions=-D$limits.string.maxLength=67108864 -D$limits.bytes.maxLength=67108864")

# Environment and JARs travel with the application, so that nothing has to be installed on the nodes.
ship() {
  [[ $archive == *:* || -f $archive ]] || fail "$archive does not exist: run deploy/pack.sh, or set ARCHIVE"
  local jars
  jars=$(find "$root/.venv/jars" -name '*.jar' 2>/dev/null | sort | paste -sd, -)
  [[ -n $jars ]] || fail "$root/.venv/jars is empty: run make setup"
  options+=(--archives "$archive#environment" --jars "$jars" --files "$root/deploy/gpu_discovery.sh")
  options+=(--conf "spark.pyspark.python=$python")
  # OpenBLAS for Spark ML; a task is one thread.
  options+=(--conf spark.executor.extraLibraryPath=./environment/native --conf spark.executorEnv.OPENBLAS_NUM_THREADS=1)
}

case $manager in
  yarn)
    options+=(--master yarn)
    ship
    [[ $mode == client ]] || options+=(--conf "spark.yarn.appMasterEnv.PYSPARK_PYTHON=$python")
    ;;
  standalone)
    [[ $mode == client ]] || fail "standalone: Spark runs Python drivers in client mode only"
    options+=(--master "${MASTER:?set MASTER to spark://host:7077}")
    ship
    ;;
  kubernetes)
    image=${IMAGE:?set IMAGE to the image made from deploy/docker}
    options+=(--master "${MASTER:?set MASTER to k8s://https://host:6443}")
    options+=(--conf "spark.kubernetes.container.image=$image")
    options+=(--conf spark.pyspark.python=/opt/offerlake/bin/python)
    options+=(--conf "spark.kubernetes.executor.podTemplateFile=$root/deploy/kubernetes/executor.yaml")
    if [[ $mode == cluster ]]; then
      app=local:///opt/offerlake/app/$file
    else
      jars=$(find "$root/.venv/jars" -name '*.jar' 2>/dev/null | sort | paste -sd, -)
      options+=(--jars "${jars:?run make setup}")
    fi
    ;;
  *) fail "cluster manager $manager: give yarn, kubernetes or standalone" ;;
esac
# In client mode the driver is this machine's own environment.
if [[ $mode != cluster ]]; then
  export OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
  options+=(--conf "spark.pyspark.driver.python=$root/.venv/bin/python" --driver-library-path "$root/.venv/native")
fi
read -ra further <<<"${SUBMIT_ARGS:-}"
export SPARK_HOME=${SPARK_HOME:-$("$root/.venv/bin/python" -c 'import pyspark; print(pyspark.__path__[0])')}
command=("$SPARK_HOME/bin/spark-submit" "${options[@]}" "${further[@]}" "$app" "$@")
if [[ -n ${DRY_RUN:-} ]]; then
  printf '%q ' "${command[@]}"
  echo
else
  exec "${command[@]}"
fi
