"""What is expected of the tables: read from YAML, checked in one pass a table, judged; bad records kept out."""
