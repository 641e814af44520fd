"""Execution: child processes, executors on this machine and on Dask, a Prefect server, DVC commands."""
