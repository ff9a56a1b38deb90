"""Toy events and their true efficiency."""
