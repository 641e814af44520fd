"""Every model file through LiteRT: scores, sizes, latency, and the figures made of them."""
