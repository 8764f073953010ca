#!/usr/bin/env bash
# One GPU in at most 8 minutes: whether it computes what the CPU computes, and how fast, beside PyTorch.
# Sets nothing up and fetches nothing: takes $PYTHON, else .venv, else the python3 that is found first.
set -euo pipefail
usage='usage: bash launch/gpu_check.sh [--small] [--seconds=480] [--out=FOLDER] [--parts=A,B,...] [--stylegan2_ada=FOLDER]
  --small          tiny sizes, as without a GPU: tests the check itself
  --seconds        after which it ends; what was found by then is written
  --out            for gpu_check.json and gpu_check.txt (default: runs/gpu_check)
  --parts          some parts only; gpu_check.txt names them
  --stylegan2_ada  a checkout of NVlabs/stylegan2-ada-pytorch, searched beside ours'
case "${1:-}" in
  -h | --help) echo "$usage"; exit 0 ;;
esac
root=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-}
if [ -z "$python" ]; then
  python=python3
  if [ -x "$root/.venv/bin/python" ]; then python=$root/.venv/bin/python; fi
fi
"$python" - <<'EOF' || exit 2
import importlib.util
import sys

needed = ('jax', 'flax', 'optax', 'orbax', 'sklearn')
absent = [name for name in needed if importlib.util.find_spec(name) is None]
if absent:
    sys.exit(f'gpu_check.sh: {sys.executable}: found no {", ".join(absent)}; name a Python that has them: PYTHON=...')
EOF
# JAX and PyTorch share the memory of the GPU.
export XLA_PYTHON_CLIENT_PREALLOCATE=false
# This checkout is what runs, whatever the caller's folder holds (-P).
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
exec "$python" -P -m fr_inference.benchmarking.device_check "$@"
