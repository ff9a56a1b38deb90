"""Tagging efficiencies that know the whole event, as event weights that can be trusted."""

__version__ = "0.1.0"
