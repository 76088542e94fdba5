"""One file = one method. The folder is the registry: what lies here is known by the name of its file."""
