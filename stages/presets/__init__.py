"""Complete params files, one per published experiment: `edac preset NAME` puts one in place of `params.yaml`."""
