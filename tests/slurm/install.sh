#!/usr/bin/env bash
# Install Slurm and munge where this may be done, or say what to install; without them the tests
# are skipped. The packages start no Slurm: it has no configuration.
set -euo pipefail
packages=(slurm-wlm munge)
programs=(slurmctld slurmd munged sbatch srun)

missing=()
for program in "${programs[@]}"; do
    command -v "$program" > /dev/null || missing+=("$program")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "Installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -qq --no-install-recommends "${packages[@]}" > /dev/null && exit 0
    echo "apt-get could not install ${packages[*]}: the tests of Slurm will be skipped"
else
    echo "Missing: ${missing[*]}. As root on Debian or Ubuntu: apt-get install ${packages[*]}"
fi
