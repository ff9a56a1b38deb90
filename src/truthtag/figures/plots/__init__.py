"""The drawing of every figure: a table in, a matplotlib figure out. Nothing is computed here."""
