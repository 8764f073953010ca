#!/usr/bin/env bash
# Fresh machine to passing tests: makes .venv, installs, runs the tests. Arguments go to pytest.
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname "$0")/environment.sh"
make_environment test
# Most of the time is compilation in one thread: a process for each core, files kept whole for their fixtures,
# in the order of tests/conftest.py, which begins with the slow ones.
exec .venv/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder "$@"
