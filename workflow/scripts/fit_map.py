"""Fit one efficiency map to the training sample."""

from truthtag.data.jets import read_jets
from truthtag.estimators.maps import fit_map, write_map
from truthtag.workflow.digests import digest, versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        jets = read_jets(snakemake.input.train)
        if part := snakemake.params.get("first_events"):
            jets = jets.first(part["train"])
        fitted = fit_map(jets, snakemake.params.options)
        metadata = {"options": snakemake.params.options, "config": digest(snakemake.params.options)}
        write_map(fitted, snakemake.output[0], {**metadata, "versions": versions()})
        log.info("%d jets, %s", jets.n_jets, fitted.describe())
