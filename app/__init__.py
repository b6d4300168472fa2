"""The doors a person comes through: the command line."""
