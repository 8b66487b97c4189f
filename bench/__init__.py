"""What parts of Foretell are worth, measured in one run: ``foretell bench``."""
