"""Heat of any network: maps, bands, heat per band."""
