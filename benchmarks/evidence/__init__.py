"""The evidence that the method works: training runs on the almanac, and the page made from them."""
