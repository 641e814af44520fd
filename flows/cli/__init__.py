"""The console command `edac`: what a person does by hand. The pipeline itself is `dvc repro`."""
