"""Changes of weights: how they are solved for, stored, taken apart and exported."""
