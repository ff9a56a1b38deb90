"""Closure, verdict, covariance, coverage, accuracy and domain."""
