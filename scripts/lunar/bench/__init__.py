"""What unlearning costs at a model's size."""
