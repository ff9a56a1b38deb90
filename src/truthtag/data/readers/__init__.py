"""Readers of experiments' formats: NanoAOD, DAOD_PHYSLITE, ROOT and Parquet."""
