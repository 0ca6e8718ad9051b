-- What could not be used, by field and reason: `reject_reasons` holds {"FIELD: reason": number, ...}.
SELECT
  day,
  kind,
  connection,
  IF(STRPOS(text, ': ') > 0, SUBSTR(text, 1, STRPOS(text, ': ') - 1), NULL) AS field,
  IF(STRPOS(text, ': ') > 0, SUBSTR(text, STRPOS(text, ': ') + 2), text) AS reason,
  SUM(number) AS rejects
FROM (
  SELECT
    day,
    kind,
    connection,
    REGEXP_EXTRACT(pair, r'^"(.*)":[0-9]+$') AS text,
    CAST(REGEXP_EXTRACT(pair, r':([0-9]+)$') AS INT64) AS number
  FROM
    `${deliveries}`,
    UNNEST(REGEXP_EXTRACT_ALL(reject_reasons, r'"(?:[^"\\]|\\.)*":[0-9]+')) AS pair
)
GROUP BY
  day, kind, connection, field, reason
