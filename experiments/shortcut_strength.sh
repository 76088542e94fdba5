#!/usr/bin/env bash
# How strong must a shortcut be before a method falls for it? The study of shortcut.toml with other ties, and with stripes behind the object.
#
#   bash experiments/shortcut_strength.sh DATA runs/shortcut_strength
set -euo pipefail
data=$1
out=$2
here=$(dirname "$0")
methods="plain; sgdrop(share=0.75); sgdrop(drop=0.4, share=1.0, views='both')"
for tie in watermark-0.5 watermark-1.0 background-0.9; do
  overfocus study "$here/shortcut.toml" --root "$data" --methods "$methods" --seeds 5 --examine spread \
    --set "data.shortcut.kind=${tie%-*}" --set "data.shortcut.strength=${tie#*-}" --out "$out/$tie"
done
for tie in watermark-0.5 watermark-1.0 background-0.9; do
  echo "$tie"
  python "$here/columns.py" "$out/$tie" accuracy test-tied.accuracy test-clean.accuracy
done
