-- Errors by code, with what the operator has to do. The steps are those of lib/graph_errors.py, the most special first.
WITH
  steps AS (
    SELECT * FROM UNNEST(ARRAY<STRUCT<place INT64, code_from INT64, code_to INT64, subcode INT64, step STRING>>[
%{ for place, step in steps ~}
      (${place}, ${step.code_from == null ? "NULL" : step.code_from}, ${step.code_to == null ? "NULL" : step.code_to}, ${step.subcode == null ? "NULL" : step.subcode}, ${step.step == null ? "NULL" : jsonencode(step.step)})${place < length(steps) - 1 ? "," : ""}
%{ endfor ~}
    ])
  ),
  errors AS (
    SELECT
      day,
      kind,
      connection,
      error_code,
      error_subcode,
      error_message,
      COUNT(*) AS calls,
      SUM(rows_received) AS rows_received,
      MAX(logged_at) AS last_seen,
      ANY_VALUE(fbtrace_id) AS fbtrace_id
    FROM
      `${deliveries}`
    WHERE
      error_message IS NOT NULL
    GROUP BY
      day, kind, connection, error_code, error_subcode, error_message
  )
SELECT
  errors.*,
  steps.step AS next_step
FROM
  errors
LEFT JOIN
  steps
ON
  errors.error_code IS NOT NULL
  AND (steps.code_from IS NULL OR errors.error_code BETWEEN steps.code_from AND steps.code_to)
  AND (steps.subcode IS NULL OR steps.subcode = errors.error_subcode)
WHERE
  TRUE
QUALIFY
  ROW_NUMBER() OVER (
    PARTITION BY day, kind, connection, errors.error_code, errors.error_subcode, error_message ORDER BY steps.place
  ) = 1
