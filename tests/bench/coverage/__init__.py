"""Simulations of every interval, bound and rate that a page prints; `python -m tests.bench.coverage` prints the table.

Each promise is simulated where the truth is known, by the method before and by the one in use. A row's `measured` is
the fraction of runs in which the statement held (or failed, where an error rate is promised).
"""
