"""Made-up raw data, as realistic as the jobs and the models need; no flags, no Beam."""
