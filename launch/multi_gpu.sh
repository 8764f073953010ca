#!/usr/bin/env bash
# One host, one process, all of its GPUs or the chosen ones. Paths are relative to where this is called from.
set -euo pipefail
usage='usage: bash launch/multi_gpu.sh [--gpus=0,2,3|all] [--cuda=12|13] [--dry_run] [--] PROGRAM ARGS...
  --gpus     which GPUs, by their number in nvidia-smi -L (default: all)
  --cuda     which CUDA build of JAX (default: the newest that the driver and the GPUs can run)
  --dry_run  prints the GPUs and every command, starts none
for example: bash launch/multi_gpu.sh --gpus=0,1 audit --target=backbone.pth --members=train/ \
  --nonmembers=others/ --out=runs/mine'

fail() {
  echo "multi_gpu.sh: $*" >&2
  exit 2
}

gpus=all cuda='' dry=false
while (($#)); do
  case $1 in
    --gpus=*) gpus=${1#*=} ;;
    --cuda=*) cuda=${1#*=} ;;
    --dry_run) dry=true ;;
    --help) echo "$usage"; exit 0 ;;
    --) shift; break ;;
    -*) fail "found the flag '$1', expected --gpus=, --cuda=, --dry_run or a program; flags of the program stand after its name" ;;
    *) break ;;
  esac
  shift
done
(($#)) || fail 'found no program; --help shows how to call this'

caller=$PWD
# shellcheck source=launch/environment.sh
source "$(dirname "$0")/environment.sh"
root=$PWD
module=$(find_program "$1") || exit 2
shift

command -v nvidia-smi >/dev/null \
  || fail 'nvidia-smi: found none, expected the NVIDIA driver; launch/plan.sh plans for GPUs that are not here; without a GPU run .venv/bin/python -m '"$module"
listing=$(nvidia-smi -L) || listing=''
there=$(sed -n 's/^GPU \([0-9][0-9]*\):.*/\1/p' <<<"$listing")
[ -n "$there" ] || fail 'nvidia-smi -L: found no GPU; check the driver with nvidia-smi'
if [ "$gpus" = all ]; then
  # A scheduler may have given this job a part of the host: what it set stays.
  numbers=$there
  [ -z "${CUDA_VISIBLE_DEVICES+set}" ] || numbers=$(tr ',' '\n' <<<"$CUDA_VISIBLE_DEVICES")
else
  [[ $gpus =~ ^[0-9]+(,[0-9]+)*$ ]] || fail "--gpus: found '$gpus', expected numbers like 0,2,3 or all"
  numbers=$(tr ',' '\n' <<<"$gpus")
  [ -z "$(sort <<<"$numbers" | uniq -d)" ] || fail "--gpus: found '$gpus', expected every GPU once"
  for number in $numbers; do
    grep -Fqx -e "$number" <<<"$there" \
      || fail "--gpus: found $number, expected some of $(paste -s -d ',' - <<<"$there") (nvidia-smi -L)"
  done
  export CUDA_VISIBLE_DEVICES=$gpus
fi
expected=$(grep -c . <<<"$numbers" || true)
export CUDA_DEVICE_ORDER=PCI_BUS_ID  # or CUDA numbers them by speed, not as nvidia-smi does

extra=$(find_cuda "$cuda") || exit 2
if $dry; then
  echo "# One process on $expected GPUs:"
  for number in $numbers; do  # a scheduler may name them by UUID
    echo "# $(grep -E "^GPU $number:|\(UUID: $number" <<<"$listing" || echo "GPU $number")"
  done
  [ -z "${CUDA_VISIBLE_DEVICES+set}" ] || echo "export $(quote "CUDA_VISIBLE_DEVICES=$CUDA_VISIBLE_DEVICES")"
  echo 'export CUDA_DEVICE_ORDER=PCI_BUS_ID'
  quote bash -c "source \"\$0/launch/environment.sh\"; make_environment $extra" "$root"; echo
  echo "export PYTHONPATH=$(quote "$root")\${PYTHONPATH:+:\$PYTHONPATH}"
  echo "# Ends here where JAX does not see $expected GPUs."
  echo "cd $(quote "$caller")"
  quote "$root/.venv/bin/python" -P -m "$module" "$@"; echo
  exit
fi
make_environment "$extra"
cd "$caller"

# A CUDA build that does not fit falls back to the CPU in silence: found out here, not after a day.
# The checkout of this script is what runs (PYTHONPATH), whatever the caller's folder holds (-P).
export PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
reply=$("$root/.venv/bin/python" -P -c 'import jax; print(f"gpus={len(jax.devices("'"'gpu'"'"))}")' 2>&1) || true
seen=$(sed -n 's/^gpus=//p' <<<"$reply" | tail -n 1)
[ "${seen:-0}" = "$expected" ] || fail "JAX ($extra): found ${seen:-0} GPUs, expected $expected;" \
  "try --cuda=12 or --cuda=13, and unset LD_LIBRARY_PATH ($(tail -n 1 <<<"$reply"))"
echo "multi_gpu.sh: $module on $expected GPUs ($gpus), JAX with $extra" >&2

# In the place of this shell, so that a signal to it reaches the program, which saves its state.
exec "$root/.venv/bin/python" -P -m "$module" "$@"
