#!/usr/bin/env bash
# Fresh machine to passing tests: makes .venv, installs, runs the tests. Arguments go to pytest.
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname "$0")/environment.sh"
make_environment test
# Most of the time is compilation in one thread: a process for each core, files kept whole for their fixtures,
# in the order of tests/conftest.py, which begins with the slow ones.
# Nor has linear algebra threads to spare: they wait for each other, and burn the time of the other process.
export OPENBLAS_NUM_THREADS=1
exec .venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder "$@"
