"""What travels to a device: NumPy, ai_edge_litert and the standard library, nothing else."""
