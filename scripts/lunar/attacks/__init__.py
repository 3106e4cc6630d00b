"""Attacks on unlearned models, a file each."""
