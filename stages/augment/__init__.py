"""Augmented copies of training recordings, made after the split, each with its parent and group."""
