#!/usr/bin/env bash
# Packs the Python environment that the cluster's nodes unpack: the locked packages, and Offerlake as a wheel.
#
#   deploy/pack.sh [--without-deep] [ARCHIVE]
#
# ARCHIVE is dist/offerlake-env.tar.gz unless given. --without-deep leaves torch and Horovod out (a tenth of the size);
# run with --set deep.enabled=false then. The archive holds no interpreter: every node needs Python 3.11 where this
# machine has it, or at PYTHON_PREFIX (such as /usr). Build it on the nodes' own kind of Linux.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

extras=deep,boost
if [[ ${1:-} == --without-deep ]]; then
  extras=boost
  shift
fi
archive=${1:-dist/offerlake-env.tar.gz}
environment=build/environment

make --silent setup
rm -rf dist/offerlake-*.whl "$environment"
make --silent wheel
uv=$(command -v uv || echo .uv/bin/uv)
"$uv" venv --quiet --python .venv/bin/python "$environment"
# The lock's versions bind as constraints; the [tool.uv] part of pyproject.toml builds Horovod as in `make setup`.
wheel=$(echo dist/offerlake-*.whl)
"$uv" pip install --quiet --python "$environment/bin/python" --constraint requirements.lock "${wheel}[$extras]"
"$environment/bin/python" -m offerlake.blas >/dev/null
mkdir -p "$(dirname "$archive")"
.venv/bin/venv-pack --quiet --force --prefix "$environment" --output "$archive" \
  ${PYTHON_PREFIX:+--python-prefix "$PYTHON_PREFIX"}
echo "$archive"
