"""`edac start`: looks at a user's recordings and writes a `params.yaml` that is right for them."""
