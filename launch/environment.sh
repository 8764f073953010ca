# shellcheck shell=bash
# Sourced by the other scripts: makes or reuses .venv with the package and the extras named in $1.
# PYTHON chooses the interpreter; the exact versions are in launch/constraints.txt.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

find_python() {
  local candidate candidates=(python3 python3.11 python3.12 python3.13 python3.14 python)
  if [ -n "${PYTHON:-}" ]; then candidates=("$PYTHON"); fi
  for candidate in "${candidates[@]}"; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "Python: found $("${PYTHON:-python3}" --version 2>&1 | head -n 1)," \
    'expected 3.11 or newer; install it, or name one with PYTHON=/path/to/python3.11' >&2
  return 2
}

make_environment() {
  local extras=$1 python stamp other
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then  # absent, or left half made
    python=$(find_python) || exit 2
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv || exit 1
  fi
  stamp=.venv/installed-$(cat setup.cfg pyproject.toml launch/constraints.txt | cksum | cut -d ' ' -f 1)
  # An environment with more than was asked for serves as well.
  if [ ! -e "$stamp-$extras" ] && { [ -n "$extras" ] || ! compgen -G "$stamp-*" >/dev/null; }; then
    # JAX with two CUDA builds finds neither.
    for other in 12 13; do
      if [[ $extras == cuda* && $extras != "cuda$other" ]] && compgen -G ".venv/installed-*-cuda$other" >/dev/null; then
        .venv/bin/python -m pip uninstall --quiet --yes "jax-cuda$other-plugin" "jax-cuda$other-pjrt" || exit 1
        rm -f .venv/installed-*-"cuda$other"
      fi
    done
    echo 'Installing (once; a minute or two)'
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
      -c launch/constraints.txt -e ".${extras:+[$extras]}" || exit 1
    touch "$stamp-$extras"
  fi
}

# The arguments as one line that every shell reads back as they were.
quote() {
  local word line='' one="'" escaped="'\\''"
  for word in "$@"; do
    case $word in '' | *[!A-Za-z0-9_./:=,@%+-]*) word="'${word//$one/$escaped}'" ;; esac
    line+="${line:+ }$word"
  done
  printf '%s' "$line"
}

# The programs that can be launched, one a line.
list_programs() {
  local file
  for file in experiments/[!_]*.py; do basename "$file" .py; done
}

# Prints the module of the program called $1.
find_program() {
  local name=${1#experiments.}
  # Not grep -q: it would end before its input does, and pipefail takes that for a failure.
  if ! list_programs | grep -Fx -e "$name" >/dev/null; then
    echo "program: found '$1', expected one of $(list_programs | paste -s -d ' ' -)" >&2
    return 2
  fi
  echo "experiments.$name"
}

# Prints the extra with the CUDA build of JAX that this host's driver and GPUs can run, or with $1 (12 or 13)
# that one. JAX's CUDA 13 build wants driver 580 and compute capability 7.5, its CUDA 12 build driver 525.
find_cuda() {
  local drivers driver capability
  case "${1:-}" in
    12 | 13) echo "cuda$1"; return ;;
    '') ;;
    *) echo "--cuda: found '$1', expected 12 or 13" >&2; return 2 ;;
  esac
  # The oldest GPU of the host decides.
  drivers=$(nvidia-smi --query-gpu=compute_cap,driver_version --format=csv,noheader | sort -V | head -n 1) \
    || drivers=''
  capability=${drivers%%,*} driver=${drivers#*, }
  if ! [[ $capability =~ ^[0-9]+\.[0-9]+$ && ${driver%%.*} =~ ^[0-9]+$ ]]; then
    echo "nvidia-smi: found '$drivers', expected a compute capability and a driver version;" \
      'choose with --cuda=12 or --cuda=13' >&2
    return 2
  fi
  if ((${driver%%.*} >= 580)) && [ "$(printf '7.5\n%s\n' "$capability" | sort -V | head -n 1)" = 7.5 ]; then
    echo cuda13
  elif ((${driver%%.*} >= 525)); then
    echo cuda12
  else
    echo "NVIDIA driver: found $driver, expected 525 or newer (580 for CUDA 13); update the driver" >&2
    return 2
  fi
}
