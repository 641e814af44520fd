"""Train the float32 baseline on features."""
