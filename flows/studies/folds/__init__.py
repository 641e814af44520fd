"""Cross-validation by folds: runs and their tables."""
