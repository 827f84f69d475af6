"""What a customer will be worth, and which kinds of customers there are."""
