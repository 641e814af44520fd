"""Training: batches, the loop, losses, optimizer and distillation."""
