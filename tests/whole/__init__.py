"""The whole pipeline on a small test shop: in one session, and by processes that have only what was shipped to them."""
