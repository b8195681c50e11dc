"""The API for people and their programs: who asks, what they may, and the resources."""
