"""What more events, more time or repeated samples tell."""
