"""A file for each subject: its charts, each with caption and the table of the numbers that it draws."""
