"""Coverage-guided fuzzing of what parses bytes from strangers. Runs behind `make fuzz`, never within the suite."""
