"""`edac tune`: a search over recipes and widths by cross-validation over the groups of the training side."""
