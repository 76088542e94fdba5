#!/usr/bin/env bash
# Which method's network is worth most on other photographs? 50 classes of Tiny-ImageNet first, then fine-tuning on CIFAR-10.
#
#   bash experiments/transfer_photos.sh DATA/cifar10-jpeg runs/tiny_localization runs/transfer_photos
#
# The runs of experiments/tiny_localization.toml, which must be finished (33 minutes), then 18 of fine-tuning, plain training on 100
# images of each class, in 14 minutes on one thread of a two-core machine that did other work as well (Xeon 2.5 GHz, torch 2.15,
# float32). Test accuracy in %, all 10,000 images, last epoch, n = 3 seeds, fixed in advance, mean and 95 % t interval; differences
# to plain, paired by seed, p after Holm. The learning rate was not searched:
#
#   plain             51.8 [50.7, 53.0]
#   cutout            48.3 [44.3, 52.3]    -3.5 [ -6.7,  -0.3]   0.084
#   mixup             49.2 [48.5, 50.0]    -2.6 [ -3.4,  -1.8]   0.019
#   cutmix            49.2 [47.2, 51.2]    -2.7 [ -3.7,  -1.6]   0.024
#   sgdrop, 2 views   50.5 [48.3, 52.8]    -1.3 [ -2.5,  -0.1]   0.084
#   from scratch      38.7 [37.8, 39.7]   -13.1 [-14.3, -12.0]   0.002
set -euo pipefail
data=$1
pretrained=$2
out=$3
overfocus transfer "$pretrained"/runs/100-per-class/*/seed* --task classify --data "$data" --size 32 --epochs 20 --lr 0.05 \
  --set data.per_class=100 --set recipe.channels_last=true --set recipe.evaluate_every=20 --out "$out"
