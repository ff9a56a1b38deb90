"""Cross-fitting: no event is weighted by what saw it, and its pulls have unit width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truthtag.axis import EqualBins
from truthtag.data.folds import fold_of, hash_numbers
from truthtag.data.jets import Jets
from truthtag.errors import ConfigError, DataError
from truthtag.estimators.binned import BinnedMap, BinnedOptions
from truthtag.estimators.cross_fitting import CrossFitted, Folds, HeldOut, cut
from truthtag.estimators.ensemble import Ensemble, files_by_fold, load
from truthtag.estimators.resampling import fit_replicas
from truthtag.estimators.table_file import save_replicas

FINE = BinnedOptions(
    pt=EqualBins(bins=40, low=20, high=600), eta=EqualBins(bins=25, low=-2.5, high=2.5)
)
"""Some 3,000 bins, each with a few jets of 20,000 events: a map that nearly knows its jets."""


@dataclass(frozen=True)
class Memory:
    """An efficiency of 1 for events that it saw, and 0 for others."""

    seen: frozenset[int]

    def efficiency(self, jets: Jets) -> np.ndarray:
        return np.isin(jets.per_jet("event"), list(self.seen)).astype(float)


def remembering(jets: Jets, folds: Folds, *, stops_early: bool, members: int = 2) -> CrossFitted:
    parts = []
    for fold in range(folds.count):
        learned = folds.learning(fold, stops_early=stops_early).of(jets)
        seen = set(learned.event.tolist())
        if stops_early:
            seen |= set(folds.validating(fold).of(jets).event.tolist())
        parts.append(Ensemble([Memory(frozenset(seen))] * members))
    return CrossFitted(folds, parts)


def slow_hash(number: int) -> int:
    """SplitMix64 with Python's integers."""
    mask = 2**64 - 1
    z = (number + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=50), st.integers(1, 20))
def test_folds_are_what_the_stated_rules_say(numbers: list[int], count: int) -> None:
    array = np.array(numbers, dtype=np.int64)
    assert fold_of(array, count).tolist() == [number % count for number in numbers]
    assert hash_numbers(array).tolist() == [slow_hash(number) for number in numbers]
    assert fold_of(array, count, "hash").tolist() == [slow_hash(n) % count for n in numbers]


def test_the_hash_spreads_numbers_that_are_all_even() -> None:
    numbers = np.arange(0, 200_000, 2)
    assert set(fold_of(numbers, 2).tolist()) == {0}
    share = np.mean(fold_of(numbers, 2, "hash"))
    # A share of 100,000 coins, within five standard deviations.
    assert abs(share - 0.5) < 5 * 0.5 / np.sqrt(len(numbers))


def test_what_is_no_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match="fold_by is 'run'; allowed are event, hash"):
        fold_of([1], 2, "run")
    with pytest.raises(ConfigError, match="0 parts are not allowed"):
        fold_of([1], 0)
    with pytest.raises(DataError, match="only integers have a remainder"):
        fold_of([1.5], 2)


@given(st.integers(3, 10), st.booleans())
def test_no_fold_is_both_learned_from_and_held_out(count: int, stops_early: bool) -> None:
    folds = Folds(count)
    for fold in range(count):
        stated = folds.provenance(fold, stops_early=stops_early)
        used = {*stated["learned_from"], *stated["chosen_on"]}
        assert used == set(range(count)) - {fold}
        assert not set(stated["learned_from"]) & set(stated["chosen_on"])


@pytest.mark.parametrize("stops_early", [False, True])
@pytest.mark.parametrize("by", ["event", "hash"])
def test_no_event_is_weighted_by_what_saw_it(few: Jets, by: str, stops_early: bool) -> None:
    fitted = remembering(few, Folds(5, by), stops_early=stops_early)
    values, replicas = fitted.held_out.with_replicas(few)
    assert not values.any()
    assert replicas.shape == (2, few.n_jets)
    assert not replicas.any()
    # All but one of the five saw each event.
    np.testing.assert_allclose(fitted.efficiency(few), 0.8)


def test_other_samples_get_all_members(few: Jets, sample: Jets) -> None:
    fitted = remembering(few, Folds(5), stops_early=True)
    others = sample.take(slice(1000, 1100))
    mean, replicas = fitted.with_replicas(others)
    assert replicas.shape == (10, others.n_jets)
    assert not mean.any()


def test_folds_go_by_the_number_of_the_experiment(few: Jets) -> None:
    numbers = np.arange(few.n_events) * 7 + 3
    assert Folds(5).of(few.with_columns(event_number=numbers)).tolist() == (numbers % 5).tolist()


def test_without_folds_nothing_is_cut(few: Jets) -> None:
    train, validation, seen = cut(few, few, None, None, stops_early=True)
    assert train is few
    assert validation is few
    assert seen == {}


def test_a_fold_without_events_is_refused(few: Jets) -> None:
    alike = few.with_columns(event_number=np.zeros(few.n_events, dtype=int))
    with pytest.raises(
        DataError, match=r"of the 300 training events, .* none to learn from without"
    ):
        Folds(3).learning(0, stops_early=False).of(alike)


def fitted_maps(
    jets: Jets, folds: Folds, replicas: int, options: BinnedOptions = FINE
) -> CrossFitted:
    """Maps of each fold, with replicas that share their draws."""
    parts = []
    for fold in range(folds.count):
        part = folds.learning(fold, stops_early=False)
        nominal = BinnedMap.fit(part.of(jets), jets, options, (1, "map"))
        members = fit_replicas(BinnedMap, jets, jets, options, replicas, (1, "map"), part)
        parts.append(Ensemble(members, nominal))
    return CrossFitted(folds, parts)


def pulls(jets: Jets, eff: np.ndarray, of_bin: np.ndarray) -> np.ndarray:
    """Tags minus efficiencies in each bin, in units of the scatter of tags that the truth gives."""
    true = jets.efficiency_true
    difference = np.bincount(of_bin, jets.is_tagged - eff)
    variance = np.bincount(of_bin, true * (1 - true))
    return difference[variance > 1] / np.sqrt(variance[variance > 1])


def test_pulls_on_the_training_events_have_unit_width_with_folds_only(sample: Jets) -> None:
    """Bins of a map are where it has learned its own tags."""
    folds = Folds(5)
    light_or_b = BinnedMap.fit(sample, sample, FINE, (1, "map"))
    index = np.ravel_multi_index(light_or_b.bins.index(sample), light_or_b.bins.shape)
    seen = pulls(sample, light_or_b.efficiency(sample), index)
    assert np.abs(seen).max() < 1e-9

    fold_of_jet = folds.of(sample)[sample.event_of_jet]
    cross_fitted = fitted_maps(sample, folds, replicas=2)
    held_out = cross_fitted.held_out.efficiency(sample)
    of_fold = np.ravel_multi_index((index, fold_of_jet), (index.max() + 1, folds.count))
    honest = pulls(sample, held_out, of_fold)
    # The tags of a fold scatter by 1, the map of the other four folds by another 1/4 of the
    # variance: a width of sqrt(5/4), and of n pulls a standard error of 1/sqrt(2n) of itself.
    expected = np.sqrt(5 / 4)
    assert len(honest) > 300
    assert np.std(honest) == pytest.approx(expected, rel=4 / np.sqrt(2 * len(honest)))


def test_the_sum_over_folds_is_closer_than_its_parts(sample: Jets) -> None:
    """As the docs warn: summed over the folds, what is learned and what is tested cancel."""
    cross_fitted = fitted_maps(sample, Folds(5), replicas=2)
    b_jets = sample.flavour == 5
    difference = (sample.is_tagged - cross_fitted.held_out.efficiency(sample))[b_jets].sum()
    true = sample.efficiency_true[b_jets]
    scatter = np.sqrt((true * (1 - true)).sum())
    assert abs(difference) < 0.5 * scatter


def test_replicas_of_maps_hold_the_error_of_the_whole_sample(sample: Jets) -> None:
    """For other samples, replicas drawn alike in every fold scatter as those without folds do."""
    jets = sample.take(slice(0, 4000))
    others = sample.take(slice(10_000, 12_000))
    coarse = BinnedOptions(
        pt=EqualBins(bins=1, low=20, high=600), eta=EqualBins(bins=1, low=-2.5, high=2.5)
    )
    count = 40
    whole = fit_replicas(BinnedMap, jets, jets, coarse, count, (1, "map"))
    without_folds = Ensemble(whole, BinnedMap.fit(jets, jets, coarse, (1, "map")))
    with_folds = fitted_maps(jets, Folds(4), count, coarse)
    spreads = []
    for efficiency in (without_folds, with_folds):
        _, replicas = efficiency.with_replicas(others)
        spreads.append(replicas.std(axis=0, ddof=1))
    # The draws are the same, so the two agree far better than 40 replicas know a spread.
    np.testing.assert_allclose(spreads[0], spreads[1], rtol=0.1)


def saved(cross_fitted: CrossFitted, folder: Path) -> None:
    """Write maps of folds as the workflow does."""
    for fold, part in enumerate(cross_fitted.parts):
        provenance: Mapping[str, Any] = {
            "folds": cross_fitted.folds.provenance(fold, stops_early=False)
        }
        inner = folder / f"fold_{fold}"
        part.nominal.save(inner / "nominal.parquet", provenance)
        save_replicas(part.members, inner / "replicas.parquet", provenance)


def test_a_folder_of_folds_is_read_as_one(few: Jets, tmp_path: Path) -> None:
    cross_fitted = fitted_maps(few, Folds(3, "hash"), replicas=2)
    saved(cross_fitted, tmp_path)
    again = load(tmp_path)
    assert isinstance(again, CrossFitted)
    assert again.folds == Folds(3, "hash")
    assert isinstance(again.held_out, HeldOut)
    for one, other in zip(
        cross_fitted.held_out.with_replicas(few), again.held_out.with_replicas(few), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    files = files_by_fold(tmp_path)
    assert files[2] == ["fold_2/nominal.parquet", "fold_2/replicas.parquet"]


def test_folds_that_do_not_belong_together_are_refused(few: Jets, tmp_path: Path) -> None:
    saved(fitted_maps(few, Folds(3), replicas=2), tmp_path)
    saved(fitted_maps(few, Folds(3, "hash"), replicas=2), tmp_path / "other")
    (tmp_path / "other/fold_1/nominal.parquet").replace(tmp_path / "fold_1/nominal.parquet")
    with pytest.raises(DataError, match=r"fold_1.nominal\.parquet: belongs to other folds"):
        load(tmp_path)
