"""Fine-tuning: train part of the backbone further, starting from a linear probe."""
