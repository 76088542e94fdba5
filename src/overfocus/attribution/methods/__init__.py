"""One file = one method of attribution. The folder is the registry: a method is known by the name of its file."""
