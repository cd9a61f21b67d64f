"""Who are you: the login page, the OAuth endpoints, tokens and passwords."""
