#!/usr/bin/env bash
# Does it pay to search the patch size of Cutout and CutMix on held-out training images, instead of taking the papers'?
#
#   bash experiments/patch_size.sh DATA/cifar10-jpeg runs/patch_size
set -euo pipefail
data=$1 out=$2
here="$(cd "$(dirname "$0")" && pwd)"
spec() { # the spec that a search found for a method
  overfocus tune --method "$1" --trials 6 --pruner none --data "$data" --per-class 100 --val 0.2 --epochs 40 --batch 64 \
    --set "model.settings.widths=[16,32,64]" --set recipe.channels_last=true --set recipe.evaluate_every=40 \
    --out "$out/tune_$2" --json | python -c "import json, sys; print(json.load(sys.stdin)[0]['method'])"
}
cutout=$(spec "cutout(size=?)" cutout)
cutmix=$(spec "cutmix(size=?)" cutmix)
overfocus study "$here/cutmix_paper.toml" --data "$data" --methods "plain; cutout; $cutout; cutmix; $cutmix" \
  --out "$out/study" --examine none
