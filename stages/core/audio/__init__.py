"""Audio at home: decoding, resampling, SpecAugment."""
