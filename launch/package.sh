#!/usr/bin/env bash
# Builds the sdist and, from it, the wheel into dist/; checks that both hold every file of the package and nothing else,
# and that the installed wheel works in a bare environment, from another folder. --nobare leaves that last part out.
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname "$0")/environment.sh"
case "${1:-}" in
  '' | --nobare) ;;
  *) echo "package.sh: found '$1', expected nothing or --nobare" >&2; exit 2 ;;
esac
python=$(find_python) work=$(mktemp -d) root=$PWD
trap 'rm -rf "$work"' EXIT

# What git has, with the changes that are not committed: a build in the project's folder would also take what an
# earlier one left in build/.
mkdir "$work/tree" dist 2>/dev/null || true
git ls-files -z --cached --others --exclude-standard | tar --null --files-from=- -cf - | tar -xf - -C "$work/tree"
"$python" -m venv "$work/build"
"$work/build/bin/python" -m pip install --quiet --disable-pip-version-check build
rm -f dist/fr_inference-*
"$work/build/bin/python" -m build --outdir dist "$work/tree" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
wheel=$(echo dist/fr_inference-*.whl) sdist=$(echo dist/fr_inference-*.tar.gz)

# fr_inference/programs is a link to experiments/.
{
  git ls-files --cached --others --exclude-standard fr_inference | grep -Fxv fr_inference/programs
  git ls-files --cached --others --exclude-standard experiments | sed 's|^experiments/|fr_inference/programs/|'
} | sort >"$work/expected"

# Compares what $1 holds of the package with what it must hold; the rest is what packages bring for pip.
check() {
  sort | grep -Ev "$2" >"$work/found" || true
  if ! diff "$work/expected" "$work/found" >"$work/diff"; then
    echo "$1: found other files than those of the package (< missing, > too many)" >&2
    head -n 20 "$work/diff" >&2
    exit 1
  fi
  echo "$1: $(wc -l <"$work/found") files, $(du -h "$1" | cut -f 1)"
}
"$python" -c 'import sys, zipfile; print(*zipfile.ZipFile(sys.argv[1]).namelist(), sep="\n")' "$wheel" |
  check "$wheel" '^fr_inference-[^/]*\.dist-info/'
tar -tzf "$sdist" | grep -v '/$' | sed 's|^[^/]*/||' |
  check "$sdist" '^fr_inference\.egg-info/|^(PKG-INFO|LICENSE|README\.md|setup\.cfg|pyproject\.toml|MANIFEST\.in)$'
[ "${1:-}" != --nobare ] || exit 0

"$python" -m venv "$work/bare"
"$work/bare/bin/python" -m pip install --quiet --disable-pip-version-check "$root/$wheel"
mkdir "$work/elsewhere"
cd "$work/elsewhere"
"$work/bare/bin/fr-inference" >/dev/null
"$work/bare/bin/fr-inference" audit --help >/dev/null
"$work/bare/bin/python" -m fr_inference verify --helpshort >/dev/null
"$work/bare/bin/fr-inference" demo --audits=easy --out=demo
[ -s demo/easy/report.html ]
echo 'The installed wheel works.'
