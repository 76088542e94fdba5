"""The page and the pictures of a data check."""
