"""What the formats of experiments are like: trees, names of branches, units. One place for all.

Names that an experiment gave and ranges that it states are facts about its files; each can be
stated otherwise in the options of a sample.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["FORMATS", "OPTIONAL_ROLES", "ROLES", "Format"]

ROLES = (
    *("pt", "eta", "phi", "mass", "flavour"),
    *("weight", "event_number", "run", "luminosity_block"),
    *("event", "is_tagged", "tag_bin", "score"),
)
"""What the mapping ``columns`` can name, beside true efficiencies and further inputs."""

OPTIONAL_ROLES = ("event_number", "run", "luminosity_block", "is_tagged", "tag_bin", "score")
"""Columns that a file may lack where the options do not ask for them."""


@dataclass(frozen=True)
class Format:
    """A format of files.

    Args:
        trees: Names of the tree with a row per event, tried in order; empty where files may call it
            anything, and the only tree is taken.
        columns: Formulas of branches by column, those tried in order that a format calls
            differently from file to file.
        unit: Unit of momenta and masses.
        discriminant: Formula of the tagger's discriminant.
        valid: Range of a discriminant that is one branch; what is outside was not scored. A formula
            has none, nor has a format without: then every finite number is a score.
        prefixes: What short names of branches can lack: ``GN2v00_pb`` is looked for behind each.
        links: Prefixes of branches that are not parallel to the jets, and the branch of the jets
            that says where in them each jet is; with ``/m_persIndex`` and ``/m_persKey``.
        region_abs_eta: Edges of the regions in which jets without score are counted.
        region_pt: The same for transverse momentum [GeV].
    """

    trees: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    unit: Literal["GeV", "MeV"] = "GeV"
    discriminant: str | None = None
    valid: tuple[float, float] | None = None
    prefixes: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    region_abs_eta: tuple[float, ...] = (2.5,)
    region_pt: tuple[float, ...] = (20.0, 50.0, 100.0)


_PLAIN = {name: (name,) for name in (*ROLES, "luminosity_block")} | {
    "event_number": ("event_number", "event"),
    "luminosity_block": ("luminosity_block", "luminosityBlock"),
}

FORMATS: Mapping[str, Format] = {
    # CMS: documentation of NanoAOD; the discriminant exists from version 12 on, -1 where a jet was
    # not scored.
    "nanoaod": Format(
        trees=("Events",),
        columns={
            "pt": ("Jet_pt",),
            "eta": ("Jet_eta",),
            "phi": ("Jet_phi",),
            "mass": ("Jet_mass",),
            "flavour": ("Jet_hadronFlavour",),
            "weight": ("genWeight",),
            "event_number": ("event",),
            "run": ("run",),
            "luminosity_block": ("luminosityBlock",),
        },
        discriminant="Jet_btagPNetB",
        valid=(0.0, 1.0),
        prefixes=("Jet_",),
    ),
    # ATLAS: DAOD_PHYSLITE; files of RNTuple call the tree EventData and write `:` for the first
    # dot. The fraction of c jets in the discriminant is the customary one of GN2v00, which has no
    # score for tau leptons.
    "physlite": Format(
        trees=("CollectionTree", "EventData"),
        columns={
            "pt": ("AnalysisJetsAuxDyn.pt",),
            "eta": ("AnalysisJetsAuxDyn.eta",),
            "phi": ("AnalysisJetsAuxDyn.phi",),
            "mass": ("AnalysisJetsAuxDyn.m",),
            "flavour": ("AnalysisJetsAuxDyn.HadronConeExclTruthLabelID",),
            "weight": ("EventInfoAuxDyn.mcEventWeights[0]",),
            "event_number": ("EventInfoAuxDyn.eventNumber",),
            "run": ("EventInfoAuxDyn.runNumber",),
            "luminosity_block": ("EventInfoAuxDyn.lumiBlock",),
        },
        unit="MeV",
        discriminant="log(GN2v00_pb / (0.1 * GN2v00_pc + 0.9 * GN2v00_pu))",
        prefixes=("AnalysisJetsAuxDyn.", "BTagging_AntiKt4EMPFlowAuxDyn.", "EventInfoAuxDyn."),
        links={"BTagging_AntiKt4EMPFlowAuxDyn.": "AnalysisJetsAuxDyn.btaggingLink"},
    ),
    "root": Format(trees=(), columns=_PLAIN),
    "parquet": Format(trees=(), columns=_PLAIN),
}
"""The formats by name, as the option ``format`` names them."""
