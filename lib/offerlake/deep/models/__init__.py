"""Networks: single-device maths only."""
