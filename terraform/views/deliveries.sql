-- The delivery log, each row once: BigQuery forgets insert ids after about a minute, so that a row may stand there twice.
SELECT
  * EXCEPT (place)
FROM (
  SELECT
    DATE(logged_at) AS day,
    *,
    ROW_NUMBER() OVER (PARTITION BY DATE(logged_at), row_id ORDER BY logged_at) AS place
  FROM
    `${delivery_log}`
  WHERE
    logged_at >= TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL ${view_days} DAY)
)
WHERE
  place = 1
