"""Published data set in, checked recordings and one index out."""
