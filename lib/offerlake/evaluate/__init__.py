"""How good it is: rankings, the value of the assignment from randomised rows, the truth of a test shop, the report."""
