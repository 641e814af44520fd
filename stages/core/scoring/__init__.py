"""Metrics from scores, and their uncertainty."""
