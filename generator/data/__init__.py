"""What a model learns from: tokens, attributes, windows of pieces and their variation."""
