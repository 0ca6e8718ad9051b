-- How many events had each match key, as they came and with what identity added: the log holds {"key": number, ...}.
SELECT
  day,
  connection,
  match_key,
  SUM(IF(is_after, 0, number)) AS events_before,
  SUM(IF(is_after, number, 0)) AS events_after
FROM (
  SELECT
    day,
    connection,
    is_after,
    REGEXP_EXTRACT(pair, r'^"(.*)":[0-9]+$') AS match_key,
    CAST(REGEXP_EXTRACT(pair, r':([0-9]+)$') AS INT64) AS number
  FROM (
    SELECT day, connection, FALSE AS is_after, match_keys_before AS counts FROM `${deliveries}` WHERE kind = 'events'
    UNION ALL
    SELECT day, connection, TRUE AS is_after, match_keys_after AS counts FROM `${deliveries}` WHERE kind = 'events'
  ),
    UNNEST(REGEXP_EXTRACT_ALL(counts, r'"[^"]*":[0-9]+')) AS pair
)
GROUP BY
  day, connection, match_key
