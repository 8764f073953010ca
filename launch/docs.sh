#!/usr/bin/env bash
# Builds the documentation in site/, and fails on any warning: a link or an anchor that does not exist, a page
# outside the navigation, a docstring that cannot be read. Needs neither JAX nor the package, but its own
# environment, .venv-docs. --serve shows the pages at http://127.0.0.1:8000 and follows changes.
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname "$0")/environment.sh"
case "${1:-}" in
  '' | --serve) ;;
  *) echo "docs.sh: found '$1', expected nothing or --serve" >&2; exit 2 ;;
esac

python=.venv-docs/bin/python
if ! "$python" -m pip --version >/dev/null 2>&1; then  # absent, or left half made
  maker=$(find_python) || exit 2
  "$maker" -m venv --clear .venv-docs
fi
stamp=.venv-docs/installed-$(cat setup.cfg launch/constraints.txt | cksum | cut -d ' ' -f 1)
if [ ! -e "$stamp" ]; then
  # The extra alone: the pages are made from the text of the docstrings.
  "$python" -c 'import configparser; c = configparser.ConfigParser(); c.read("setup.cfg", "utf-8")
print(c["options.extras_require"]["docs"])' >.venv-docs/requirements.txt
  "$python" -m pip install --quiet --disable-pip-version-check -c launch/constraints.txt -r .venv-docs/requirements.txt
  touch "$stamp"
fi
export NO_MKDOCS_2_WARNING=1  # an advertisement of what comes after Material for MkDocs
if [ "${1:-}" = --serve ]; then exec "$python" -m mkdocs serve; fi
exec "$python" -m mkdocs build --strict --clean
