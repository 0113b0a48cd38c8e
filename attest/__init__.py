"""Evidence in, facts or a named failure out.

Nothing in this package does I/O, reads a clock or draws random numbers: whatever can change an answer is an argument.
*Verify* (is it authentic?) raises at the first failure; *appraise* (do we accept it?) returns every finding.
"""
