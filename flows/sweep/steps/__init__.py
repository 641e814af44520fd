"""Steps of one cell: fine-tuning, quantisation-aware training, one variant."""
