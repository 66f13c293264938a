"""The evidence on real texts: retrieval by a trained model beside what else a user could pick."""
