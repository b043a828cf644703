"""HDF5 files copied into others that are faster to read: new chunks, filters and types, the same values."""
