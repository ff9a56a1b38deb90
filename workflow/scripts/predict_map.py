"""Predict the efficiencies of a sample with a map."""

from truthtag.efficiency import predict, write_prediction
from truthtag.jets import read_jets
from truthtag.logs import job_log
from truthtag.maps import read_map
from truthtag.provenance import versions

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        jets = read_jets(snakemake.input.sample)
        prediction = predict(read_map(snakemake.input.map), jets)
        write_prediction(prediction, snakemake.output[0], {"efficiency": snakemake.input.map, "versions": versions()})
        log.info("%d jets, mean efficiency %.4f", jets.n_jets, prediction.values.mean())
