"""What each command does, without arguments and printing."""
