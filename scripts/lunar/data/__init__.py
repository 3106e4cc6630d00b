"""Rows: subjects, splits, sets made of the forget set, published sources."""
