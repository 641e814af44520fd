"""Studies that run the pipeline more than once."""
