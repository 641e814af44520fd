"""The naive reference: what scikit-learn makes of pooled spectra, and chance."""
