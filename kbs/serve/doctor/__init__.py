"""`sealgate-broker doctor`: what is wrong with a deployment, in sentences; each says what to do. It changes nothing."""
