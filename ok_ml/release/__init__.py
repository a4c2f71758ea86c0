"""From a trained model to what production reads: attempts, gate, promotion, lineage, publication, automation's decisions."""
