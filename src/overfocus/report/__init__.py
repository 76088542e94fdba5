"""What a person sees: tables, progress, pictures."""
