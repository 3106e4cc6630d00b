"""What a configuration asks for. For the workflow, not for its jobs: it imports no torch."""
