"""Record-level functions and Beam transforms that make dataset directories; no flags."""
