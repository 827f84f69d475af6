"""`python -m offerlake` is the command `offerlake`."""

from offerlake.cli import app

app()
