"""What each model is trained for, a module a model with the functions of :class:`headfield.train.recipe.Recipe`."""
