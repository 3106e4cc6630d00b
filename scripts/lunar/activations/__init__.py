"""Forward passes with hooks: statistics, directions."""
