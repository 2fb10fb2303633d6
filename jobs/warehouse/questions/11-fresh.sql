-- both: How old is what I read, and which model said so?
SELECT freshness.table_name, freshness.cutoff, status, round(hours_since_cutoff) AS hours,
       name AS model, version, encoder, training_cutoff
FROM freshness
JOIN (SELECT DISTINCT model_name, model_version FROM user_scores_latest) AS used ON true
JOIN models ON models.name = used.model_name AND models.version = used.model_version
ORDER BY table_name, version;
