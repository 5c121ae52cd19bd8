#!/usr/bin/env bash
# One long clip on a Slurm cluster: plan, an array of segments, and a join that waits for them.
#
#   SLURM_OPTIONS="--gpus=1 --cpus-per-task=8 --time=1:00:00" \
#       examples/segments_slurm.sh CLIP OUT [OPTION of david plan ...]
#
# Run it where sbatch works; `david` has to be on the path of the nodes, and CLIP and the folder of OUT
# on storage that they all see under the same paths. Planning runs as a job, too: it loads the network
# on the kind of device that the segments will have. TASKS (default 100) is the most elements that the
# array gets; with more segments than that, each element does several.
#
# A segment that is done is not done again: after a failure, the same command goes on. Prints the
# numbers of the array and of the join. Exit code: that of the step that failed; 2 wrong usage.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: [SLURM_OPTIONS='--gpus=1 ...'] $0 CLIP OUT [OPTION of david plan ...]" >&2
    exit 2
fi
clip=$1 out=$2
shift 2
read -r -a resources <<< "${SLURM_OPTIONS:-}"

facts=$(srun "${resources[@]}" david plan "$clip" -o "$out" --json "$@")
plan=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["plan"])' <<< "$facts")
segments=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["segments"])' <<< "$facts")
tasks=${TASKS:-100}
tasks=$((tasks < segments ? tasks : segments))
quoted=$(printf '%q' "$plan")

array=$(
    sbatch --parsable --job-name=david-segments --array="0-$((tasks - 1))" --requeue \
        "${resources[@]}" << JOB
#!/usr/bin/env bash
set -eu
for ((index = SLURM_ARRAY_TASK_ID; index < $segments; index += $tasks)); do
    david segment $quoted --index "\$index" --progress plain
done
JOB
)
join=$(
    sbatch --parsable --job-name=david-join --dependency="afterok:${array%%;*}" \
        --kill-on-invalid-dep=yes << JOB
#!/usr/bin/env bash
exec david join $quoted
JOB
)
echo "segments: job $array, join: job $join"
