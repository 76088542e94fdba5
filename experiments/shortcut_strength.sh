#!/usr/bin/env bash
# How strong must a shortcut be, and of what kind, before a method falls for it? The study of shortcut.toml with other ties, and
# with stripes behind the object. SGDrop resists a small mark, the more the stronger it is tied; a background misleads it more.
#
#   bash experiments/shortcut_strength.sh DATA runs/shortcut_strength
#
# 45 runs in 9 minutes on two workers, and the 15 at 70 % in some 10 on one worker beside other work, of a two-core machine (Xeon
# 2.5 GHz, torch 2.15, float32, one thread a run). Test accuracy in %, 10,000 images, last epoch, n = 5 seeds, fixed in advance,
# paired by seed, in points, with 95 % t intervals; a star: p of the paired t test after Holm over 2 methods below 0.05 (the
# sign-flip test cannot confirm any of them with 5 seeds):
#
#                                  broken                      tied                       clean
#   mark, 50 %  plain              75.9                        79.7                       76.8
#               sgdrop, prob .75   72.0  -4.0 [ -6.3, -1.6]*   74.5  -5.2 [ -7.8, -2.7]*  72.0  -4.8 [ -8.1, -1.5]*
#               sgdrop, 2 views    74.8  -1.1 [ -2.3, -0.0]*   77.8  -1.9 [ -3.7, -0.0]*  75.3  -1.5 [ -2.6, -0.4]*
#   mark, 70 %  plain              74.1                        84.1                       76.5
#   (added)     sgdrop, prob .75   72.3  -1.8 [ -4.4,  0.8]    76.6  -7.5 [-10.1, -4.9]*  72.8  -3.7 [ -5.0, -2.3]*
#               sgdrop, 2 views    74.4   0.3 [ -2.5,  3.1]    81.6  -2.5 [ -6.1,  1.2]   75.8  -0.6 [ -1.6,  0.3]
#   mark, 100 % plain              41.3                        96.0                       60.3
#               sgdrop, prob .75   60.7  19.4 [ 10.1, 28.8]*   87.0  -9.0 [-12.2, -5.8]*  71.4  11.1 [  2.0, 20.1]*
#               sgdrop, 2 views    53.2  11.9 [  1.1, 22.7]*   94.3  -1.7 [ -4.0,  0.6]   73.1  12.8 [  5.5, 20.1]*
#   stripes     plain              33.0                        94.0                       24.9
#   behind,     sgdrop, prob .75   23.6  -9.4 [-14.9, -3.9]*   90.5  -3.4 [ -4.7, -2.1]*  17.7  -7.2 [-12.0, -2.4]*
#   90 %        sgdrop, 2 views    27.4  -5.5 [ -8.6, -2.5]*   91.7  -2.3 [ -3.6, -1.0]*  20.9  -4.0 [-12.3,  4.3]
set -euo pipefail
data=$1
out=$2
here=$(dirname "$0")
methods="plain; sgdrop(prob=0.75); sgdrop(drop=0.4, prob=1.0, views='both')"
for tie in watermark-0.5 watermark-0.7 watermark-1.0 background-0.9; do
  overfocus study "$here/shortcut.toml" --root "$data" --methods "$methods" --seeds 5 --examine spread \
    --set "data.shortcut.kind=${tie%-*}" --set "data.shortcut.strength=${tie#*-}" --out "$out/$tie"
done
for tie in watermark-0.5 watermark-0.7 watermark-1.0 background-0.9; do
  echo "$tie"
  python "$here/columns.py" "$out/$tie" accuracy test-tied.accuracy test-clean.accuracy
done
