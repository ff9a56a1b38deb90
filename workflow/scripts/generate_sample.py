"""Generate one shard of a sample."""

from collections.abc import Iterator

from truthtag.data.jets import Jets, write_jets
from truthtag.data.labels import Labels
from truthtag.progress import Progress
from truthtag.toy.generation import generate, make_generator
from truthtag.toy.truth import make_truth
from truthtag.workflow.digests import digest, versions
from truthtag.workflow.logs import job_log


def counted(blocks: Iterator[Jets], progress: Progress) -> Iterator[Jets]:
    """Pass blocks on, and count their events."""
    for block in blocks:
        yield block
        progress.add(block.n_events)


if __name__ == "__main__":
    with job_log(snakemake.log[0]) as log:
        params, sample = snakemake.params, snakemake.wildcards.sample
        process = make_generator(params.generator, params.flavours)
        truth = make_truth(params.truth, params.flavours)
        first, last = params.events
        points = params.working_points
        labels = Labels(flavours=tuple(sorted(params.flavours.values())))
        seed = (params.seed, sample)
        blocks = generate(process, truth, range(first, last), seed, points, labels)
        settings = {
            "generator": params.generator,
            "truth": params.truth,
            "flavours": params.flavours,
        }
        if points:
            settings["working_points"] = points
        metadata = {
            "sample": sample,
            "seed": params.seed,
            "config": digest(settings),
            "settings": settings,
            "versions": versions(),
        }
        n_jets = write_jets(
            counted(blocks, Progress(log, last - first, "events")), snakemake.output[0], metadata
        )
        log.info("%s: events %d to %d, %d jets", snakemake.output[0], first, last - 1, n_jets)
