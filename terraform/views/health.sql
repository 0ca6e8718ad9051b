-- What the latest health checks have found of each thing.
SELECT
  *
FROM
  `${health_log}`
WHERE
  logged_at >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL 2 DAY)
QUALIFY
  ROW_NUMBER() OVER (PARTITION BY kind, connection, subject, event_name ORDER BY logged_at DESC, row_id) = 1
