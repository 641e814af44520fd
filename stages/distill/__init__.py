"""Teacher predictions for training and validation clips; the test split is not read."""
