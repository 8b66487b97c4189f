"""The narrator: a Messages API server over a grammar, with the pace of real models."""
