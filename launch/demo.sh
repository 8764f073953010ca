#!/usr/bin/env bash
# Fresh machine to finished audits of three embedded backbones: one that learned its training images by heart,
# one that generalises, where the same attack must find next to nothing, and one trained on few people, whose
# faces are reconstructed with a generator. With --retrain the three are trained here first, by the commands
# that made the embedded ones.
set -euo pipefail
# shellcheck source=launch/environment.sh
source "$(dirname "$0")/environment.sh"
case "${1:-}" in
  '' | --retrain) ;;
  *) echo "demo.sh: found '$1', expected nothing or --retrain" >&2; exit 2 ;;
esac
make_environment ''
python=.venv/bin/python out=runs/demo
hard='procedural:hard,images=4,seed=1' easy='procedural:easy,images=8,seed=1' few='procedural:easy,images=16,seed=4,people=32'
trained=()

if [ "${1:-}" = --retrain ]; then
  trained=("--backbones=$out")
  shape=(--arch=iresnet18 '--depths=1,1,1,1' --embedding=64 --input_size=32 --holdout=0 --seed=1)
  $python -m experiments.train_recognizer "${shape[@]}" --out=$out/demo_leaky --faces="$hard,people=128" \
    --width=20 --epochs=90 --nomirror --weight_decay=0
  $python -m experiments.train_recognizer "${shape[@]}" --out=$out/demo_easy --faces="$easy,people=512" \
    --width=12 --epochs=12
  $python -m experiments.train_recognizer "${shape[@]}" --out=$out/demo_few --faces="$few" \
    --seed=4 --width=20 --epochs=120 --margin=cosface --m3=0.6 --scale=16 --weight_decay=0.005 --nomirror
fi

$python -m experiments.demo --out=$out "${trained[@]}"
echo "Open $out/report.html, and for comparison $out/easy/report.html and $out/few/report.html"
