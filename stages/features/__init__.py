"""Clips in, features out, by the very graph that the device runs."""
