"""The Pareto front, the budget, and the registry's alias."""
