-- marketing: Who is about to leave, and was worth something?
-- The tenth likeliest to stay away for 28 days, dearest first.
SELECT user_id, churn_probability_28d, expected_spend_28d
FROM user_scores_latest
WHERE churn_decile = 10
ORDER BY expected_spend_28d DESC, user_id
LIMIT 1000;
