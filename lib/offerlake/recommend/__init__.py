"""Products for each user: implicit ALS, popularity and the user's own purchases, made into the best N."""
