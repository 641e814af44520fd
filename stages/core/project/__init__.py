"""Foundations of every stage: errors, parameters, plug-ins, files, provenance, progress and worker pools."""
