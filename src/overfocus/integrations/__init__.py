"""Methods inside the trainers that people use; each module is thin, and asks for its trainer only when imported."""
