"""Files and folders read as documents."""
