"""The compression sweep: plan, cells, store and assembly."""
