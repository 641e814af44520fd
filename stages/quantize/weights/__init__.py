"""Rounding of weights to few bits after training, by calibration clips and without labels."""
