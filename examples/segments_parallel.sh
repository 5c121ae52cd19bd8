#!/usr/bin/env bash
# One long clip, its segments dealt out by GNU parallel: one process for each device.
#
#   DEVICES="cuda:0 cuda:1" examples/segments_parallel.sh CLIP OUT [OPTION of david plan ...]
#   DEVICES="cpu cpu" examples/segments_parallel.sh film.mkv sharp.mkv --crf 14
#
# `david batch --devices` does the same in one command. This is the pattern for those who have GNU
# parallel deal out other work already, or over several machines (add --sshlogin; all must see CLIP
# and the folder of OUT under the same paths). After a stop, the same command goes on.
#
# Exit code: that of david plan or david join; 2 wrong usage; else the number of segments that failed
# (parallel's own codes), three attempts each.
set -euo pipefail

if [ $# -lt 2 ] || ! command -v parallel > /dev/null; then
    echo "usage: [DEVICES='cuda:0 cuda:1'] $0 CLIP OUT [OPTION of david plan ...] (needs GNU parallel)" >&2
    exit 2
fi
clip=$1 out=$2
shift 2
read -r -a devices <<< "${DEVICES:-cpu}"
# Threads are part of the plan: as many for each process as the cores allow.
threads=$(($(nproc) / ${#devices[@]}))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((threads > 0 ? threads : 1))}

# cuda for any of cuda:0 cuda:1 ...: the plan fixes the kind of device, not its number
facts=$(david plan "$clip" -o "$out" --device "${devices[0]%%:*}" --json "$@")
PLAN=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["plan"])' <<< "$facts")
segments=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["segments"])' <<< "$facts")
export PLAN DEVICES="${devices[*]}"

run_segment() {  # number of the segment, number of parallel's slot
    read -r -a devices <<< "$DEVICES"
    david segment "$PLAN" --index "$1" --device "${devices[$2 - 1]}" --progress none
}
export -f run_segment
seq 0 $((segments - 1)) |
    SHELL=$(command -v bash) parallel --will-cite --jobs "${#devices[@]}" --retries 3 --line-buffer run_segment '{}' '{%}'

david join "$PLAN"
