"""Speed as a ratio in one run: ours against the bare primitives, sides interleaved, CPU of the whole process."""
