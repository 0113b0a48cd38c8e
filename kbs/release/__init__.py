"""The one story of a release; release.py tells it, the other files are its steps."""
