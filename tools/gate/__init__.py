"""Whether a picture can be worked with, and what it seems to show."""
