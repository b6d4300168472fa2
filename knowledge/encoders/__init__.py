"""How texts and pictures become vectors: without a trained model, or with one from a local folder."""
