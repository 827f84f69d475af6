"""Who responds, whom an offer changes, and what a pair of user and offer is worth."""
