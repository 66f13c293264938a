"""The client that a collection lends to users and to the frameworks' stores."""
