"""Write a map as files of correctionlib: one for all events, and one for each fold."""

from truthtag.estimators.cross_fitting import CrossFitted
from truthtag.estimators.ensemble import load
from truthtag.exports.correction_options import CorrectionOptions
from truthtag.exports.corrections import export_corrections, export_corrections_by_fold
from truthtag.workflow.digests import digest, versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        options = CorrectionOptions.model_validate(params.options)
        estimator = load(params.folder, kind=params.estimator["kind"])
        provenance = {
            "estimator": params.folder,
            "config": digest(params.estimator),
            "versions": versions(),
        }
        target = snakemake.output[0]
        export_corrections(estimator, target, options, provenance)
        if isinstance(estimator, CrossFitted):
            export_corrections_by_fold(estimator, target, options, provenance)
        log.info("%s: %s", target, estimator.describe())
