#!/usr/bin/env bash
# Is a network unsure of photographs of things that it was never shown? Finished studies of CIFAR-10 (JPEG q75), asked once more.
#
#   bash experiments/outliers.sh DATA/tiny-imagenet-50 runs/outliers runs/cutmix_paper runs/cutmix_long
#
# The second set: the validation images of 27 classes of Tiny-ImageNet, at 32 pixels, none of which is a thing of CIFAR-10 (no cats,
# dogs, birds, frogs, deer, horses, cars, trucks, ships, aircraft, nor what is nearly one, such as lions or tractors).
set -euo pipefail
data=$1
out=$2
shift 2
here=$(dirname "$0")
classes="n01443537 n01629819 n01698640 n01770393 n01774750 n01882714 n01910747 n01944390"
classes+=" n02132136 n02165456 n02206856 n02268443 n02279972 n02364673 n02437312 n02504458"
classes+=" n02769748 n02814860 n02917067 n03891332 n04398044 n04507155 n04562935"
classes+=" n07734744 n07747607 n07749582 n07753592"
mkdir -p "$out/things"
while IFS=$'\t' read -r file class _; do
  [[ " $classes " == *" $class "* ]] || continue
  mkdir -p "$out/things/$class"
  cp "$data/val/images/$file" "$out/things/$class/$file"
done < "$data/val/val_annotations.txt"
for study in "$@"; do
  copy="$out/$(basename "$study")"
  [[ -d "$copy" ]] || cp -r "$study" "$copy"
  overfocus study "$copy/study.toml" --out "$copy" --examine outliers,confidence --limit 1000 --ood "$out/things" --no-report
  python "$here/columns.py" "$copy" accuracy outliers.things_auroc outliers.things_tnr_at_95 confidence.gap
done
