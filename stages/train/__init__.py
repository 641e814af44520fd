"""Features in, a float32 baseline out."""
