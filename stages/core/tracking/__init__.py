"""MLflow: tracking, the registry and registered models; the only package that imports MLflow."""
