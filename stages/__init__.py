"""EDAC: one folder per stage.

This file imports nothing: `stages.runtime` must load on a bare device.
"""
