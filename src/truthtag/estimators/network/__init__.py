"""Networks that see all jets of an event."""
