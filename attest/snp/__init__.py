"""AMD SEV-SNP: report, endorsement keys, TCB, verification, appraisal."""
