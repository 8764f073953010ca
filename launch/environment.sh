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
  local extras=$1 python stamp
  if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then  # absent, or left half made
    python=$(find_python) || exit 2
    echo "Making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv || exit 1
  fi
  stamp=.venv/installed-$(cat setup.cfg pyproject.toml launch/constraints.txt | cksum | cut -d ' ' -f 1)
  # An environment with more than was asked for serves as well.
  if [ ! -e "$stamp-$extras" ] && { [ -n "$extras" ] || ! compgen -G "$stamp-*" >/dev/null; }; then
    echo 'Installing (once; a minute or two)'
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
      -c launch/constraints.txt -e ".${extras:+[$extras]}" || exit 1
    touch "$stamp-$extras"
  fi
}
