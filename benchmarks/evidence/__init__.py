"""The evidence that the method works: runs on the almanac, and the page they make."""
