"""Prediction of responses to stimulation at sites that were not seen: one interface, one module per predictor.

`registry.PREDICTORS` names them; `cross.predict_all` fits each on the training sites of every split.
"""
