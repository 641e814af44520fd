"""Files that cross a border between stages, each with one reader and one writer."""
