"""What a collection holds, read back as it was indexed, and deleted."""
