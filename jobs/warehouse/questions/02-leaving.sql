-- marketing: Who is about to leave, and is worth keeping?
-- Of the users who were active lately, the tenth likeliest to stay away for 28 days; those who are
-- expected to spend most come first. Who left longer ago is not asked, and is not in this list.
SELECT user_id, last_event_date, churn_probability_28d, expected_spend_28d
FROM user_scores_latest
WHERE churn_decile = 10
ORDER BY expected_spend_28d DESC, user_id
LIMIT 1000;
