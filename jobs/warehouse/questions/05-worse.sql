-- marketing: Who has come closer to leaving since the night before?
-- The two newest nights side by side, of users who were active before both; any two cutoffs can be
-- compared so.
WITH nights AS (
    SELECT max(cutoff) AS newest,
           max(CASE WHEN cutoff < (SELECT max(cutoff) FROM user_scores_latest) THEN cutoff END)
               AS before
    FROM (SELECT DISTINCT cutoff FROM user_scores) AS published
)
SELECT today.user_id, earlier.churn_probability_28d AS then_probability,
       today.churn_probability_28d AS now_probability
FROM nights
JOIN user_scores AS today ON today.cutoff = nights.newest
JOIN user_scores AS earlier ON earlier.cutoff = nights.before AND earlier.user_id = today.user_id
WHERE today.churn_probability_28d > earlier.churn_probability_28d
ORDER BY today.churn_probability_28d - earlier.churn_probability_28d DESC, today.user_id
LIMIT 1000;
