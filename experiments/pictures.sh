#!/usr/bin/env bash
# The pictures of docs/evidence.md, drawn from finished studies, each below RUNS by the name that the head of its file gives it.
#
#   bash experiments/pictures.sh runs docs/pictures
set -euo pipefail
runs=$1
out=$2
here=$(dirname "$0")
two="sgdrop(drop=0.4, prob=1.0, views='both')"
random="sgdrop(drop=0.4, prob=1.0, views='both', selection='random')"
one="sgdrop(prob=0.75)"
python "$here/forest.py" "40 epochs=$runs/cutmix_paper" "120 epochs=$runs/cutmix_long" --out "$out/longer-training.png" \
  --call "$two=sgdrop, 2 views"
python "$here/forest.py" \
  "Fashion-MNIST, 50 of each class, 120 epochs=$runs/sgdrop_confirmed" \
  "Fashion-MNIST, 100 of each class, 120 epochs=$runs/sgdrop_default" \
  "Fashion-MNIST, 200 of each class, 60 epochs=$runs/sgdrop_more_data" \
  "CIFAR-10, 50 of each class, 240 epochs=$runs/cifar10_few_long" \
  "CIFAR-10, 50 of each class, fine-tuned=$runs/finetune" \
  "CIFAR-10, 100 of each class, 120 epochs=$runs/cutmix_long" \
  "CIFAR-10, 100 of each class, 40 epochs=$runs/cutmix_paper" \
  "CIFAR-10, 120,000 images in all=$runs/cifar10_more" \
  --methods "mixup; mixup + $two; $two; $one; $random; sgdrop(prob=0.75, selection='random')" \
  --call "mixup=Mixup" --call "mixup + $two=Mixup + SGDrop" --call "$two=SGDrop, 2 views" --call "$one=SGDrop, 1 view" \
  --call "$random=2 views, at random" --call "sgdrop(prob=0.75, selection='random')=1 view, at random" \
  --out "$out/sgdrop-everywhere.png"
