#!/usr/bin/env bash
# Run by snakemake in a fresh conda environment, from the folder where snakemake was started: that of the Snakefile.
set -euo pipefail
python -m pip install --no-deps --no-build-isolation --editable .
