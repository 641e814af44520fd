"""The chosen model onto devices: bundled, verified, switched atomically, taken back on failure."""
