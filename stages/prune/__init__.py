"""A baseline in, a sparse fine-tuned copy of it out."""
