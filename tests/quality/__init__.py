"""What is expected of the tables."""
