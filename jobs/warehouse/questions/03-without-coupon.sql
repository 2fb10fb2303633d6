-- marketing: Who will buy anyway, so that a coupon would be given away?
-- Likely buyers who were active lately, and show no sign of leaving.
SELECT user_id, purchase_probability_7d, churn_probability_28d
FROM user_scores_latest
WHERE purchase_decile = 10 AND churn_decile <= 3
ORDER BY purchase_probability_7d DESC, user_id
LIMIT 1000;
