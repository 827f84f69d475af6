#!/usr/bin/env bash
# What Spark on Kubernetes starts in a pod: `driver …`, `executor`; anything else runs as it is.
set -euo pipefail

# A random user id (OpenShift) has no name, and Hadoop wants one.
if ! getent passwd "$(id -u)" >/dev/null; then
  echo "offerlake:x:$(id -u):0:offerlake:/opt/spark/work-dir:/bin/false" >>/etc/passwd 2>/dev/null || true
fi

java=${JAVA_HOME:+$JAVA_HOME/bin/}java
classpath="${SPARK_CONF_DIR:-$SPARK_HOME/conf}:$SPARK_HOME/jars/*"
for further in "${HADOOP_CONF_DIR:-}" "${SPARK_EXTRA_CLASSPATH:-}"; do
  classpath+=${further:+:$further}
done
# Spark numbers its JVM options: SPARK_JAVA_OPT_0, SPARK_JAVA_OPT_1, …
mapfile -d '' java_options < <(env -0 | grep -z '^SPARK_JAVA_OPT_' | sort -z -t _ -k 4 -n | sed -z 's/[^=]*=//')

case ${1:-} in
  driver)
    shift
    exec tini -s -- "$SPARK_HOME/bin/spark-submit" --deploy-mode client \
      --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
      --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" \
      "$@"
    ;;
  executor)
    exec tini -s -- "$java" "${java_options[@]}" \
      "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" -cp "$classpath" \
      org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
      --driver-url "$SPARK_DRIVER_URL" \
      --executor-id "$SPARK_EXECUTOR_ID" \
      --cores "$SPARK_EXECUTOR_CORES" \
      --app-id "$SPARK_APPLICATION_ID" \
      --hostname "$SPARK_EXECUTOR_POD_IP" \
      --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" \
      --podName "$SPARK_EXECUTOR_POD_NAME"
    ;;
  *) exec tini -s -- "$@" ;;
esac
