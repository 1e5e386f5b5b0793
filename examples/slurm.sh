#!/usr/bin/env bash
# The pipeline on N nodes of a Slurm cluster: sbatch examples/slurm.sh, in the project's folder.
# That folder, with .venv, .cache and the images, is on a file system that all nodes share.
# How many GPUs and CPUs a node is asked for stands below; nothing in params.yaml changes.
#SBATCH --job-name=maskquery
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --output=slurm-%j.log

set -euo pipefail
source .venv/bin/activate
export RAY_USAGE_STATS_ENABLED=0

# Who does not have this job's token is refused by its cluster.
export RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(ray get-auth-token --generate)
export RAY_AUTH_TOKEN

gpus=${SLURM_GPUS_ON_NODE:-0}
cpus=${SLURM_CPUS_PER_TASK:-1}
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
address=$(srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')
port=$((20000 + SLURM_JOB_ID % 10000))  # several jobs may share a node

# `--block` keeps a step, and with it its node in the cluster, until the job ends.
srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    ray start --head --block --node-ip-address="$address" --port="$port" \
    --num-cpus="$cpus" --num-gpus="$gpus" --include-dashboard=false &
for node in "${nodes[@]:1}"; do
    srun --overlap --nodes=1 --ntasks=1 --nodelist="$node" \
        ray start --block --address="$address:$port" --num-cpus="$cpus" --num-gpus="$gpus" &
done

export RAY_ADDRESS=$address:$port
until ray status &> /dev/null; do sleep 2; done  # nodes that come later are used from then on

# Killed or out of time, the same command goes on where it stopped.
dvc repro
