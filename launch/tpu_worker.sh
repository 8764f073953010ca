#!/usr/bin/env bash
# The part of launch/tpu_vm.sh that runs on each worker of the TPU VM, from the copied checkout.
#   install                  the environment with JAX for TPU, and what an earlier VM compiled
#   compiled                 what was compiled here, as tar; nothing where that was given before
#   run ID MODULE ARGS...    starts the program and shows its log until it ends, with its exit code
#   stop ID                  SIGTERM to the program, and waits until it has saved its state
# The program belongs to the machine, not to the connection: when that breaks, gcloud calls `run` again with the
# same ID, which then shows the same program instead of starting a second one.
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname "$0")/environment.sh"
files=runs/launch # id, command, pid, code, log and lock of the latest program; told: to stop
mkdir -p "$files"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/fr_inference # of fr_inference/cli/compiled.py

is_running() {  # who runs the program holds the lock, and no crash can leave it held
  ! flock -n "$files/lock" true
}

list_compiled() {
  { find "$cache/compiled" -type f 2>/dev/null || true; } | sort | cksum
}

case ${1:-} in
  install)
    # The images of Cloud TPU may have an older Python, or one without venv.
    if python=$(find_python 2>/dev/null); then packages=("$python-venv"); else packages=(python3.11 python3.11-venv); fi
    export PYTHON=${python:-python3.11}
    if ! "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null; then
      # A fresh machine may still be updating itself, and holds the lock of apt meanwhile.
      sudo apt-get -o DPkg::Lock::Timeout=600 -q update
      sudo apt-get -o DPkg::Lock::Timeout=600 -q install -y "${packages[@]}"
    fi
    make_environment tpu
    if [ -s ../compiled.tar ]; then
      (umask 077 && mkdir -p "$cache" && tar -xf ../compiled.tar -C "$cache" && rm ../compiled.tar) || true
      list_compiled >"$files/compiled"
    fi
    ;;

  compiled)
    here=$(list_compiled)
    if [ -d "$cache/compiled" ] && [ "$here" != "$(cat "$files/compiled" 2>/dev/null)" ]; then
      tar -cf - -C "$cache" compiled
      echo "$here" >"$files/compiled"
    fi
    ;;

  run)
    id=$2
    shift 2
    printf '%s\0' "$@" >"$files/asked"
    if is_running; then
      cmp -s "$files/asked" "$files/command" || {
        echo "tpu_worker.sh: found another program running, expected none; launch it again with its own" \
          "arguments to follow it, or delete the TPU VM" >&2
        exit 2
      }
      echo "tpu_worker.sh: $(hostname) goes on with the program that is running" >&2
    elif [ "$(cat "$files/id" 2>/dev/null)" = "$id" ]; then
      : # it ended while the connection was away
    elif [ "$(cat "$files/stopped" 2>/dev/null)" = "$id" ]; then
      echo "tpu_worker.sh: $(hostname) was stopped before the program began" >&2
      exit 4
    else
      rm -f "$files/pid" "$files/code" "$files/told"
      mv "$files/asked" "$files/command"
      echo "$id" >"$files/id"
      : >"$files/log"
      setsid bash launch/tpu_worker.sh hold "$@" </dev/null >>"$files/log" 2>&1 &
      until [ -s "$files/pid" ] || ! kill -0 "$!" 2>/dev/null; do sleep 0.1; done
    fi
    # Ends when the program has, after the last line of the log.
    if [ -s "$files/pid" ]; then tail --pid="$(cat "$files/pid")" -s 0.2 -n +1 -f "$files/log"; fi
    flock "$files/lock" true
    [ -s "$files/code" ] || {
      echo "tpu_worker.sh: the program on $(hostname) was killed; out of memory, or the machine restarted" >&2
      exit 137
    }
    exit "$(cat "$files/code")"
    ;;

  hold)  # not to be called: the parent of the program, which outlives the connection and keeps its exit code
    shift
    exec 9>"$files/lock"
    flock 9
    code=0
    PYTHONUNBUFFERED=1 .venv/bin/python -m "$@" &
    echo "$!" >"$files/pid"
    wait "$!" || code=$?
    echo "$code" >"$files/code.part"
    mv "$files/code.part" "$files/code"
    ;;

  stop)
    echo "${2:-}" >"$files/stopped" # for a worker that has not begun yet
    if is_running; then
      until [ -s "$files/pid" ]; do sleep 0.1; done
      # Once only: a second SIGTERM ends the program without its state.
      if (set -C; : >"$files/told") 2>/dev/null; then kill -TERM "$(cat "$files/pid")" || true; fi
      flock -w 300 "$files/lock" true || echo "tpu_worker.sh: the program did not stop within 300 s" >&2
    fi
    ;;

  *)
    echo "tpu_worker.sh: found '${1:-}', expected install, compiled, run or stop; launch/tpu_vm.sh calls this" >&2
    exit 2
    ;;
esac
