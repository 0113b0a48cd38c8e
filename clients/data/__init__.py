"""What training code reads sealed files through; needs the extra `data`."""
