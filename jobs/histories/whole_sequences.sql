WITH RECURSIVE partitions AS (
    SELECT DISTINCT cutoff, since FROM sequences
), chain AS (  -- back from the cutoff to a whole partition
    (SELECT cutoff, since FROM partitions WHERE cutoff <= $cutoff ORDER BY cutoff DESC LIMIT 1)
    UNION ALL
    SELECT earlier.cutoff, earlier.since
    FROM chain JOIN partitions AS earlier
        ON earlier.cutoff = (SELECT max(cutoff) FROM partitions WHERE cutoff <= chain.since)
), events AS (
    SELECT user_id, unnest(event_times) AS event_time, unnest(event_ids) AS event_id,
        unnest(item_ids) AS item_id, unnest(amounts) AS amount
    FROM sequences JOIN chain USING (cutoff)
)
SELECT user_id,
    list(event_id ORDER BY event_time, event_id)[-$max_events:] AS event_ids,
    list(item_id ORDER BY event_time, event_id)[-$max_events:] AS item_ids,
    list(amount ORDER BY event_time, event_id)[-$max_events:] AS amounts
FROM events GROUP BY user_id ORDER BY user_id
