"""Compare the losses of training with that of the true efficiency, by the time that they took."""

from truthtag.data.files import read_frame, write_frame
from truthtag.data.jets import read_jets
from truthtag.studies.studies import true_loss, work
from truthtag.workflow.logs import job_log

if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        histories = {
            network: [read_frame(path, ("epoch", "seconds", "validation_loss")) for path in paths]
            for network, paths in snakemake.params.histories.items()
        }
        floor = true_loss(read_jets(snakemake.input.validation))
        write_frame(work(histories, floor), snakemake.output[0])
        log.info(
            "%d networks; the loss of the true efficiency is %.6f nats/event", len(histories), floor
        )
