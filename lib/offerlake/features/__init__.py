"""What is known of users, products and offers as of a day, and what became of each offer sent."""
