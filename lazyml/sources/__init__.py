"""Where data comes from: HDF5 files and arrays in memory, behind one interface (`protocol`)."""
