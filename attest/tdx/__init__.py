"""Intel TDX and SGX through DCAP: quotes, Intel's collateral, the state of a platform's TCB, appraisal."""
