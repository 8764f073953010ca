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
leaky=demo_leaky easy_target=demo_easy few_target=demo_few

if [ "${1:-}" = --retrain ]; then
  leaky=$out/demo_leaky easy_target=$out/demo_easy few_target=$out/demo_few
  shape=(--arch=iresnet18 '--depths=1,1,1,1' --embedding=64 --input_size=32 --holdout=0 --seed=1)
  $python -m experiments.train_recognizer "${shape[@]}" --out=$leaky --faces="$hard,people=128" \
    --width=20 --epochs=90 --nomirror --weight_decay=0
  $python -m experiments.train_recognizer "${shape[@]}" --out=$easy_target --faces="$easy,people=512" \
    --width=12 --epochs=12
  $python -m experiments.train_recognizer "${shape[@]}" --out=$few_target --faces="$few" \
    --seed=4 --width=20 --epochs=120 --margin=cosface --m3=0.6 --scale=16 --weight_decay=0.005 --nomirror
fi

echo 'Auditing a backbone that learned its training images by heart (a shadow is trained on the way)'
$python -m experiments.audit --target=$leaky --out=$out \
  --members="$hard,people=128" --nonmembers="$hard,people=128,first=128" \
  --auxiliary="$hard,people=256,first=256" --member_identities="$hard,people=128,start=4" \
  --shift='procedural:easy,images=4,seed=2,people=64' --reach
echo
echo 'Auditing a backbone that generalises'
$python -m experiments.audit --target=$easy_target --out=$out/easy \
  --members="$easy,people=128" --nonmembers="$easy,people=128,first=512"
echo
echo 'Auditing a backbone trained on few people, and reconstructing their faces'
$python -m experiments.audit --target=$few_target --out=$out/few \
  --members="$few" --nonmembers="$few,first=32" --member_identities="$few,start=16" \
  --generator=demo_generator --evaluator=demo_evaluator --draws=2048 --candidates=128 --keep=128 --steps=30 \
  --pictures=2 --prior=5 --centres=32 --strangers='procedural:easy,images=1,seed=4,people=32768,first=5000' \
  --targeted=10
echo
echo "Open $out/report.html, and for comparison $out/easy/report.html and $out/few/report.html"
