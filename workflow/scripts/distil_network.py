"""Teach one network what an ensemble says, and write down what that costs."""

import json

from truthtag.data.files import atomic_write
from truthtag.data.jets import read_samples
from truthtag.estimators.ensemble import load
from truthtag.estimators.network.distillation import distil
from truthtag.estimators.network.options import DistilOptions
from truthtag.exports.onnx_file import OnnxOptions, export_onnx, training_ranges
from truthtag.workflow.digests import digest, versions
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        options = DistilOptions.model_validate(params.options)
        train = read_samples(snakemake.input.train)
        validation = read_samples(snakemake.input.validation)
        seed = (params.base_seed, params.name, "distilled")
        distilled = distil(
            load(params.folder, kind=params.estimator["kind"]),
            train,
            validation,
            options,
            seed,
            logger=log,
        )
        provenance = {
            "estimator": params.folder,
            "seed": list(seed),
            "config": digest({"options": params.options, "estimator": params.estimator}),
            "versions": versions(),
        }
        distilled.network.save(snakemake.output.network, provenance)
        with atomic_write(snakemake.output.report) as temporary:
            temporary.write_text(json.dumps({"distilled": distilled.report}, indent=1) + "\n")
        ranges = training_ranges(train, params.inputs)
        for form, layout_options in params.forms.items():
            form_options = OnnxOptions.model_validate(layout_options)
            target = snakemake.output[form]
            export_onnx(distilled.network, target, form_options, provenance, ranges)
        added = distilled.report["validation"]["added_regret"]
        log.info("%s: regret added to the ensemble %.2e nats/jet", params.name, added)
