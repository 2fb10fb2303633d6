"""What runs beside the programs: Airflow, MLflow, their processes and memory."""
