"""What learns an efficiency from tags, and what it predicts."""
