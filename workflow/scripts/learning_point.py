"""Measure one estimator that was fitted to the first events of the training sample."""

from truthtag.data.files import write_frame
from truthtag.data.jets import read_jets
from truthtag.estimators.ensemble import load
from truthtag.estimators.failures import without_failed
from truthtag.studies.learning_curve import Point
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params = snakemake.params
        paths, failed = without_failed(list(snakemake.input.fitted), params.kind)
        for failure in failed.values():
            log.warning("left out: %s", failure)
        members = [load(path, device=params.device, kind=params.kind) for path in paths]
        events = params.first_events["train"]
        train = read_jets(snakemake.input.train).first(events)
        point = Point(
            efficiency=params.name,
            events=events,
            train_jets=train.n_jets,
            seeds=len(members) if params.seeded else None,
            # Of a fit of the right form; others do not know how many parameters they have.
            parameters=getattr(members[0], "n_parameters", None) if not params.seeded else None,
        )
        table = point.measure(members, read_jets(snakemake.input.sample), params.flavours)
        write_frame(table, snakemake.output[0])
        regret = table["regret"].iloc[0]
        log.info("%s, %d events: regret %.6f nats/jet", params.name, events, regret)
