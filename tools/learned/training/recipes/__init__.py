"""One recipe a file, and the written-out table of them."""
