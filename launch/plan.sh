#!/usr/bin/env bash
# What a program takes on TPUs and GPUs that are not here: makes .venv-plan with their compilers and runs
# experiments.plan in it. Neither a TPU, a GPU nor a driver is needed, but Linux on x86-64 and 2 GB of disk.
set -euo pipefail
usage='usage: bash launch/plan.sh --topology=A,B,... [FLAGS] PROGRAM ARGS...
for example: bash launch/plan.sh --topology=v5e-8,a100x8 audit --target=iresnet50 --members=4096
--make alone makes the environment and ends; --module=NAME runs that module in it. All else: docs/plan.md'
case "${1:-}" in
  '' | -h | --help) echo "$usage"; exit 0 ;;
esac
# shellcheck source=launch/environment.sh
source "$(dirname "$0")/environment.sh"

python=.venv-plan/bin/python
if [ "$(uname -sm)" != 'Linux x86_64' ]; then
  echo "launch/plan.sh: found $(uname -sm), expected Linux x86_64, for which there are the compilers" >&2
  exit 2
fi
if ! "$python" -m pip --version >/dev/null 2>&1; then  # absent, or left half made
  maker=$(find_python) || exit 2
  "$maker" -m venv --clear .venv-plan
fi
stamp=.venv-plan/installed-$(cat setup.cfg pyproject.toml launch/constraints.txt "$0" | cksum | cut -d ' ' -f 1)
if [ ! -e "$stamp" ]; then
  echo 'Installing the compilers (once; some minutes)' >&2
  install() { "$python" -m pip install --quiet --disable-pip-version-check -c launch/constraints.txt "$@"; }
  install -e '.[tpu]'
  version=$("$python" -c 'from importlib.metadata import version; print(version("jax"))')
  # The compiler is in the plugin; NVIDIA's libraries, which take 4 GB, only run what it makes.
  install --no-deps "jax-cuda12-plugin==$version" "jax-cuda12-pjrt==$version"
  touch "$stamp"
fi
module=experiments.plan
case "$1" in
  --make) exit 0 ;;
  --module=*) module=${1#--module=}; shift ;;
esac
# The compilers' devices are no devices of this process. The plugin says at each start that there is no driver.
export JAX_PLATFORMS=cpu
exec "$python" -m "$module" "$@" 2> >(grep --line-buffered -v -e cudart_stub -e absl::InitializeLog >&2)
