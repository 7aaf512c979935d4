"""The pages by subject: each module has its handlers and its rows of the table."""
