"""The few-shot protocol of PRIMUS: labelled windows, folds and draws, classifiers, scores."""
