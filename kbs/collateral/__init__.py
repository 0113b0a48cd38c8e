"""What is needed to judge a platform besides its evidence: vendors' certificates and revocation lists."""
