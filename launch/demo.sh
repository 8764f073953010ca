#!/usr/bin/env bash
# Fresh machine to a finished audit of two embedded backbones: one that learned its training images by heart,
# and one that generalises, where the same attack must find next to nothing. With --retrain both are trained
# here first, by the commands that made the embedded ones.
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname "$0")/environment.sh"
case "${1:-}" in
  '' | --retrain) ;;
  *) echo "demo.sh: found '$1', expected nothing or --retrain" >&2; exit 2 ;;
esac
make_environment ''
python=.venv/bin/python out=runs/demo
hard='procedural:hard,images=4,seed=1' easy='procedural:easy,images=8,seed=1'
leaky=demo_leaky easy_target=demo_easy

if [ "${1:-}" = --retrain ]; then
  leaky=$out/demo_leaky easy_target=$out/demo_easy
  shape=(--arch=iresnet18 '--depths=1,1,1,1' --embedding=64 --input_size=32 --holdout=0 --seed=1)
  $python -m experiments.train_recognizer "${shape[@]}" --out=$leaky --faces="$hard,people=128" \
    --width=20 --epochs=90 --nomirror --weight_decay=0
  $python -m experiments.train_recognizer "${shape[@]}" --out=$easy_target --faces="$easy,people=512" \
    --width=12 --epochs=12
fi

echo 'Auditing a backbone that learned its training images by heart (a shadow is trained on the way)'
$python -m experiments.audit --target=$leaky --out=$out \
  --members="$hard,people=128" --nonmembers="$hard,people=128,first=128" \
  --auxiliary="$hard,people=256,first=256" --member_identities="$hard,people=128,start=4" \
  --shift='procedural:easy,images=4,seed=2,people=64'
echo
echo 'Auditing a backbone that generalises'
$python -m experiments.audit --target=$easy_target --out=$out/easy \
  --members="$easy,people=128" --nonmembers="$easy,people=128,first=512"
echo
echo "Open $out/report.html and, for comparison, $out/easy/report.html"
