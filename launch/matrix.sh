#!/usr/bin/env bash
# Runs tests with each Python of PYTHONS (default: 3.11 and 3.13), each with the lowest JAX that setup.cfg allows and
# with the newest that there is. Arguments go to pytest, such as tests/test_package.py; without any, all tests run.
# An interpreter that is not found is skipped, and said so; PYTHONS may also name files, as in PYTHONS=/opt/py/bin/python3.
set -euo pipefail
cd "$(dirname "$0")/.."
versions=${PYTHONS:-3.11 3.13}
lowest=$(sed -n 's/^    jax>=//p' setup.cfg)
results=() failed=0 ran=0

# Prints the first interpreter of version $1 that starts, or $1 itself where it is a file.
find_interpreter() {
  local candidate
  for candidate in "$1" "python$1" "/usr/bin/python$1" "$HOME/.pyenv/versions/$1".*/bin/python; do
    if [[ $candidate == */* || $candidate == python* ]] && "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

for version in $versions; do
  if ! python=$(find_interpreter "$version"); then
    results+=("Python $version: skipped, no interpreter with venv found (PATH, /usr/bin, ~/.pyenv)")
    continue
  fi
  known=$("$python" -c 'import platform; print(platform.python_version())')
  for choice in "jax==$lowest" jax; do
    place=.venv-matrix/$known-$choice
    name="Python $known, $choice"
    stamp=$place/installed-$(cat setup.cfg pyproject.toml | cksum | cut -d ' ' -f 1)
    if [ ! -e "$stamp" ]; then
      if ! { "$python" -m venv --clear "$place" && "$place/bin/python" -m pip install --quiet \
        --disable-pip-version-check -e '.[test]' "$choice" && touch "$stamp"; }; then
        results+=("$name: could not be installed") failed=1
        continue
      fi
    fi
    name="Python $known, jax $("$place/bin/python" -c 'import jax; print(jax.__version__)')"
    echo "== $name"
    ran=1
    if "$place/bin/python" -m pytest -n auto --dist loadgroup "$@"; then
      results+=("$name: passed")
    else
      results+=("$name: failed") failed=1
    fi
  done
done
echo
printf '%s\n' "${results[@]}"
((ran)) || exit 2
exit "$failed"
