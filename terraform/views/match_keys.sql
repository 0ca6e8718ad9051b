-- Events by match key and day, as they came and with what identity added: `match_keys_before` and `match_keys_after` hold
-- {"key": number of events, ...} for each call.
SELECT
  day,
  connection,
  match_key,
  SUM(before) AS events_before,
  SUM(after) AS events_after,
  SUM(after) - SUM(before) AS added
FROM (
  SELECT
    day,
    connection,
    REGEXP_EXTRACT(pair, r'^"(.*)":[0-9]+$') AS match_key,
    CAST(REGEXP_EXTRACT(pair, r':([0-9]+)$') AS INT64) AS before,
    0 AS after
  FROM
    `${deliveries}`,
    UNNEST(REGEXP_EXTRACT_ALL(match_keys_before, r'"[^"]*":[0-9]+')) AS pair
  WHERE
    kind = 'events'
  UNION ALL
  SELECT
    day,
    connection,
    REGEXP_EXTRACT(pair, r'^"(.*)":[0-9]+$') AS match_key,
    0 AS before,
    CAST(REGEXP_EXTRACT(pair, r':([0-9]+)$') AS INT64) AS after
  FROM
    `${deliveries}`,
    UNNEST(REGEXP_EXTRACT_ALL(match_keys_after, r'"[^"]*":[0-9]+')) AS pair
  WHERE
    kind = 'events'
)
GROUP BY
  day, connection, match_key
