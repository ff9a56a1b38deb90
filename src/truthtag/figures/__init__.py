"""Figures: the catalogue of those that a run can make, their numbers, and their drawing."""
