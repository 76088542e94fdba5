"""Methods inside other trainers; each module is thin, and needs its trainer only when it is imported."""
