"""Published sets of questions, one file each."""
