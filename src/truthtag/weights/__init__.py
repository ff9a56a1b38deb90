"""From efficiencies of jets to weights of events."""
