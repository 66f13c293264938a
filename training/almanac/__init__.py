"""Build the almanac, the bundled small model, from nothing but tables of facts."""
