"""Where work runs: child processes, local workers, Dask, a Prefect server, DVC commands."""
