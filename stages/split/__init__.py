"""Recordings onto training, validation and test, by group, before anything is augmented."""
