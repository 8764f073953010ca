#!/usr/bin/env bash
# Trains a generator on one GPU for as long as the machine is lent. Sets nothing up and fetches nothing.
set -euo pipefail
usage='usage: bash launch/gpu_train.sh [--seconds=540] --faces=FACES --out=FOLDER [flags of train_generator]
  --seconds   after which it ends; the generator of the last sheet of samples and the state are in FOLDER
The same command goes on from there. Takes PYTHON, else .venv, else the python3 that is found first.'
case "${1:-}" in
  '' | -h | --help) echo "$usage"; exit 0 ;;
esac
seconds=540
if [[ $1 == --seconds=* ]]; then seconds=${1#--seconds=}; shift; fi
if ! [[ $seconds =~ ^[1-9][0-9]*$ ]]; then
  echo "gpu_train.sh: --seconds: found '$seconds', expected a whole number above 0" >&2
  exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
if [ -z "${PYTHON:-}" ] && [ -x "$root/.venv/bin/python" ]; then python=$root/.venv/bin/python; fi
# This checkout is what runs, whatever the caller's folder holds (-P).
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
code=0
# SIGTERM lets it save the state and end with code 4; any other code is its own and goes on to the caller.
timeout --preserve-status --signal=TERM --kill-after=30 "$seconds" \
  "$python" -P -m experiments.train_generator "$@" || code=$?
if [ "$code" = 4 ]; then
  echo "gpu_train.sh: stopped after $seconds s; the same command goes on, with fewer --images it ends there"
  exit 0
fi
exit "$code"
