"""Numbers and drawings of the figures."""
