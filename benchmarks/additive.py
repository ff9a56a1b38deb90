"""The additive model: time and memory of a fit, as the number of events grows, and its regret."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.timing import ROOT, Row, Toy
from truthtag.estimators.additive.estimator import AdditiveFit
from truthtag.estimators.additive.options import AdditiveOptions
from truthtag.statistics.accuracy import excess_loss

__all__ = ["additive_rows"]

EVENTS = (10_000, 100_000, 1_000_000)

# In a process of its own: the peak of this one holds what was measured before.
FIT = """
from pathlib import Path
from benchmarks.timing import Toy
from truthtag.estimators.additive.estimator import AdditiveFit
from truthtag.estimators.additive.options import AdditiveOptions
sample = Toy.load().sample({count})
AdditiveFit.fit(sample, sample, AdditiveOptions(), (1,))
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""


def additive_rows(toy: Toy) -> list[Row]:
    """Measure fits with the default terms: processor time, peak memory, regret."""
    test = toy.sample(50_000, "test")
    rows = []
    for count in EVENTS:
        train = toy.sample(count)
        started = time.process_time()
        fitted = AdditiveFit.fit(train, train, AdditiveOptions(), (1,))
        used = time.process_time() - started
        regret = excess_loss(test.per_jet("efficiency_true"), fitted.efficiency(test)).mean()
        rows.append(Row(f"additive model, {count:,} events: processor time of a fit", used, "s"))
        rows.append(Row(f"additive model, {count:,} events: regret", 1e6 * regret, "1e-6"))
    for count in EVENTS[1:]:
        program = [sys.executable, "-c", FIT.format(count=count)]
        peak = float(subprocess.check_output(program, cwd=ROOT))
        rows.append(Row(f"peak memory, additive model, {count:,} events", peak, "MB"))
    return rows
