"""What the tables show, made from values of the model."""
