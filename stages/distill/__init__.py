"""A teacher's answers for the clips that students learn from and are chosen by; the test split is not read."""
