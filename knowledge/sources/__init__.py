"""What an index can be built from: one file per format, each read as a stream of documents."""
