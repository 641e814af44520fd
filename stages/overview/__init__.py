"""The recordings that came in, as one HTML page."""
