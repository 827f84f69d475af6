"""From files as a shop writes them to bronze tables: by a mapping, no code."""
