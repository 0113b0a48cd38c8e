"""What runs inside the measured image: challenge, evidence, keys, and the proof before any of them is opened."""
