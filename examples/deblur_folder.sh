#!/usr/bin/env bash
# Deblur every clip of a folder, go on after failures, and keep a log.
#
#   examples/deblur_folder.sh CLIPS OUT [OPTION of david deblur ...]
#   examples/deblur_folder.sh holiday/ holiday.sharp/ --device cuda --crf 18
#
# OUT/log.tsv gets a line for each clip: exit code, seconds, clip, david's last words. A clip that the
# log calls done (exit code 0) is not done again: after a stop, the same command goes on.
#
# Exit code: 0 all clips are done, 7 some failed, 2 wrong usage, 130 or 143 stopped by a signal.
set -u
shopt -s nullglob nocaseglob

if [ $# -lt 2 ] || [ ! -d "$1" ]; then
    echo "usage: $0 CLIPS OUT [OPTION of david deblur ...]" >&2
    exit 2
fi
clips=${1%/} out=${2%/}
shift 2
mkdir -p "$out" || exit 2
log=$out/log.tsv
touch "$log" || exit 2
said=$(mktemp) || exit 2
trap 'rm -f "$said"' EXIT

is_done() {
    CLIP=$1 awk -F '\t' '$1 == "0" && $3 == ENVIRON["CLIP"] { found = 1 } END { exit !found }' "$log"
}

finished=0 failed=0 earlier=0
for clip in "$clips"/*.{mp4,mov,m4v,mkv,webm,avi,mts,m2ts,ts,mpg,mpeg,3gp,wmv,flv}; do
    name=${clip##*/}
    if is_done "$name"; then
        earlier=$((earlier + 1))
        continue
    fi
    echo "$name"
    started=$SECONDS
    # tee -i: Ctrl-C is for david, whose last words are wanted
    david deblur -o "$out/$name" "$@" -- "$clip" 2>&1 | tee -i "$said"
    code=${PIPESTATUS[0]}
    message=$(tail -n 1 "$said" | tr '\t' ' ')
    printf '%s\t%s\t%s\t%s\n' "$code" "$((SECONDS - started))" "$name" "$message" >> "$log"
    if [ "$code" -eq 0 ]; then
        finished=$((finished + 1))
    elif [ "$code" -ge 128 ]; then
        exit "$code"
    else
        failed=$((failed + 1))
    fi
done

echo "$finished done, $failed failed, $earlier done before; see $log"
[ "$failed" -eq 0 ] || exit 7
