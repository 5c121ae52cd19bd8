#!/usr/bin/env bash
# A clip -> numbered PNG frames -> david frames -> a clip again, with the sound of the first.
#
#   examples/frames_through_ffmpeg.sh CLIP OUT.mp4 [OPTION of david frames ...]
#   examples/frames_through_ffmpeg.sh holiday.mp4 sharp.mp4 --strength 0.7
#
# For work that has a step on still frames in its middle: put yours before or after david. Without
# such a step `david deblur` is better in every way: no frames on disk, exact times, and colours that
# do not go through 8-bit RGB. Here the clip becomes one of constant rate and standard dynamic range.
# Needs ffmpeg 5 or newer. The exit code is that of the first step that failed.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: $0 CLIP OUT.mp4 [OPTION of david frames ...]" >&2
    exit 2
fi
clip=$1 out=$2
shift 2
if [ -e "$out" ]; then
    echo "$out exists: choose another name" >&2
    exit 4
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The rate, and the matrix between YUV and RGB: as tagged, else by size, as david itself does it.
info=$(david info "$clip" --json)
facts=$(python3 -c '
import json, sys
clip = json.load(sys.stdin)["source"]
if clip["color"]["hdr"]:
    sys.exit("the clip is HDR, which 8-bit frames do not hold: use david deblur")
high_definition = clip["width"] >= 1280 or clip["height"] > 576
by_size = "bt709" if high_definition else "smpte170m"
tagged = {1: "bt709", 5: "smpte170m", 6: "smpte170m", 7: "smpte240m"}
print(clip["rate"] or 25, tagged.get(clip["color"]["matrix"], by_size))
' <<< "$info")
read -r rate matrix <<< "$facts"
exact=flags=accurate_rnd+full_chroma_int+full_chroma_inp

mkdir "$work/frames"
ffmpeg -v error -nostdin -i "$clip" -map 0:V:0 -fps_mode cfr -r "$rate" \
    -vf "scale=in_color_matrix=$matrix:$exact" -pix_fmt rgb24 "$work/frames/%06d.png"

david frames "$work/frames" -o "$work/sharp" "$@"

ffmpeg -v error -nostdin -framerate "$rate" -i "$work/sharp/%06d.png" -i "$clip" \
    -map 0:v -map '1:a?' -map_metadata 1 -c:a copy -c:v libx264 -crf 16 -pix_fmt yuv420p \
    -vf "scale=out_color_matrix=$matrix:out_range=limited:$exact" \
    -colorspace "$matrix" -color_range tv "$out"
echo "wrote $out"
