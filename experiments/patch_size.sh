#!/usr/bin/env bash
# Does it pay to search the patch size of Cutout and CutMix on held-out training images, instead of taking the papers'?
#
#   bash experiments/patch_size.sh DATA/cifar10-jpeg runs/patch_size
#
# 12 trials in 4 minutes, both searches side by side, and 25 runs, of which 15 were copied from runs/cutmix_paper and 10
# took 10 minutes, on two workers of a two-core machine (Xeon, torch 2.15, float32, one thread a run). CIFAR-10 (JPEG
# q75), 100 images of each class, 40 epochs; every trial is compared on 10,000 training images held out. Found:
# cutout(size=0.245), 0.498 there where 0.497, the paper's half of the side, has 0.480; cutmix(size=0.3448), 0.513. Test
# accuracy in %, all 10,000 test images, last epoch, n = 5 seeds, +- half a 95 % t interval, differences paired by seed:
#
#   plain                 52.34 +- 1.01
#   cutout (0.5)          50.47 +- 1.85
#   cutout(size=0.245)    51.72 +- 0.69   to cutout +1.25 [-0.11, 2.61]   to plain -0.62 [-1.92, 0.69]
#   cutmix (Beta(1, 1))   50.69 +- 1.62
#   cutmix(size=0.3448)   52.33 +- 1.09   to cutmix +1.64 [ 0.53, 2.74]   to plain -0.01 [-1.36, 1.34]
#
# (python experiments/columns.py OUT/study accuracy --baseline cutout). A size that is searched is better than the paper's for CutMix;
# as good as plain is the most that either comes to at this length.
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
