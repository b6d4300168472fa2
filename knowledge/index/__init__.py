"""A searchable store of passages and pictures: built from sources into a folder, opened, and searched."""
