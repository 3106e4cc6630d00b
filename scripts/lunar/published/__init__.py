"""The audit of published figures."""
