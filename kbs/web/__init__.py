"""What is read with a browser or a tile client: static files of the log, and health. It never writes."""
