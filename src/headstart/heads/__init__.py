"""The classifiers that grow on frozen features, how they are trained and chosen."""
