"""From bronze to silver: typed, deduplicated, checked; what cannot be used goes to quarantine with its reasons."""
