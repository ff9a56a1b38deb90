"""Write the networks of an estimator as ONNX files: one for all events, and one for each fold."""

from truthtag.data.jets import read_samples
from truthtag.estimators.cross_fitting import CrossFitted
from truthtag.estimators.ensemble import load
from truthtag.exports.onnx_file import OnnxOptions, export_folds, export_onnx, training_ranges
from truthtag.workflow.digests import digest, versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        options = OnnxOptions.model_validate(params.options)
        model = load(params.folder, kind=params.estimator["kind"])
        train = read_samples(snakemake.input.train)
        ranges = training_ranges(train, params.inputs)
        provenance = {
            "estimator": params.folder,
            "config": digest(params.estimator),
            "versions": versions(),
        }
        target = snakemake.output[0]
        difference = export_onnx(model, target, options, provenance, ranges)
        if isinstance(model, CrossFitted):
            export_folds(model, target, options, provenance, ranges)
        log.info("%s: differs from the networks by at most %.1e, relatively", target, difference)
