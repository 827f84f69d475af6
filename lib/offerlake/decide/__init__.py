"""Who gets what: the hard rules, the budget, the holdout and exploration, the drop for the marketing system."""
