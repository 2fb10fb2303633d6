-- both: How old is what I read, and which model said so?
-- A rule, as weekday-mean-8w, was never trained: it is no model, and has neither encoder nor cutoff.
SELECT table_name, freshness.cutoff, status, round(hours_since_cutoff) AS hours,
       said_by, encoder, training_cutoff
FROM freshness
JOIN (
    SELECT 'user_scores' AS table_name, model_name || '/' || model_version AS said_by
    FROM user_scores_latest
    UNION SELECT 'user_recommendations', model_name || '/' || model_version FROM user_scores_latest
    UNION SELECT 'item_demand', model_version FROM item_demand_latest
    UNION SELECT 'category_demand', model_version FROM category_demand_latest
) AS said USING (table_name)
LEFT JOIN models ON models.name || '/' || models.version = said_by
ORDER BY table_name, said_by;
