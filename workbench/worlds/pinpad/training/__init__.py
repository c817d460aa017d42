"""How the sequence models and experts of pinpads are trained: recipes and their quality."""
