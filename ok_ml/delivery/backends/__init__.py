"""The storages of predictions: LMDB on local files, Redis or Valkey. `ok_ml.delivery.storage` imports the one that is configured."""
