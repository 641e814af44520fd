"""Prefect flows and what composes the stages; the only place that knows Prefect."""
