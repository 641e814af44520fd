"""The console command `edac`."""
