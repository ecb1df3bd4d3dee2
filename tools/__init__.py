"""Commands for those who build and maintain: requirements, the image, the TPU library."""
