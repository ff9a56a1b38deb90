"""The command line: check a config, inspect files, export an efficiency, weigh events."""
