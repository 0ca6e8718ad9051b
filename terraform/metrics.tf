# Metrics of what the functions log: a short line for each row of the delivery log, a line for each finding of a health
# check, and one for each notice of a secret.

locals {
  of_functions = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(\"${var.name}-receive\" OR \"${var.name}-deliver\")"
  # Only at INFO: a row that BigQuery did not take is told a second time, as an error.
  of_deliveries = "${local.of_functions} AND severity=\"INFO\" AND jsonPayload.delivery.outcome:*"
  of_findings   = "${local.of_functions} AND jsonPayload.logger=\"lib.health_log\" AND jsonPayload.health.status:*"

  # Labels and values are fields of the line, by where they stand in it.
  metrics = {
    deliveries = {
      description = "Rows of the delivery log: calls and outcomes."
      filter      = local.of_deliveries
      labels      = { kind = "delivery.kind", connection = "delivery.connection", outcome = "delivery.outcome" }
      value       = null
      unit        = "1"
    }
    errors = {
      description = "Rows of the delivery log with an error of Meta."
      filter      = "${local.of_deliveries} AND jsonPayload.delivery.error_code:*"
      labels      = { kind = "delivery.kind", connection = "delivery.connection", code = "delivery.error_code" }
      value       = null
      unit        = "1"
    }
    rows_sent = {
      description = "Events or people in a call to Meta."
      filter      = "${local.of_deliveries} AND jsonPayload.delivery.rows_sent:*"
      labels      = { kind = "delivery.kind", connection = "delivery.connection" }
      value       = "delivery.rows_sent"
      unit        = "1"
    }
    rows_rejected = {
      description = "Events or people that could not be sent."
      filter      = "${local.of_deliveries} AND jsonPayload.delivery.rows_rejected:*"
      labels      = { kind = "delivery.kind", connection = "delivery.connection" }
      value       = "delivery.rows_rejected"
      unit        = "1"
    }
    meta_latency = {
      description = "Milliseconds of Meta's answer."
      filter      = "${local.of_deliveries} AND jsonPayload.delivery.graph_ms:*"
      labels      = { kind = "delivery.kind", connection = "delivery.connection" }
      value       = "delivery.graph_ms"
      unit        = "ms"
    }
    relay_latency = {
      description = "Milliseconds from a request's arrival to its outcome."
      filter      = "${local.of_deliveries} AND jsonPayload.delivery.elapsed_ms:*"
      labels      = { kind = "delivery.kind", connection = "delivery.connection" }
      value       = "delivery.elapsed_ms"
      unit        = "ms"
    }
    usage = {
      description = "The share of a limit of Meta that is used up, in percent."
      filter      = "${local.of_deliveries} AND jsonPayload.delivery.usage_percent:*"
      labels      = { kind = "delivery.kind", connection = "delivery.connection" }
      value       = "delivery.usage_percent"
      unit        = "%"
    }
    lost_rows = {
      description = "Rows of a log that BigQuery did not take."
      filter      = "${local.of_functions} AND severity>=\"ERROR\" AND jsonPayload.logger=\"lib.delivery_log\""
      labels      = {}
      value       = null
      unit        = "1"
    }
    checks = {
      description = "What the health checks have looked at."
      filter      = local.of_findings
      labels      = { kind = "health.kind", connection = "health.connection", status = "health.status" }
      value       = null
      unit        = "1"
    }
    findings = {
      description = "Faults that the health checks have found."
      filter      = "${local.of_findings} AND jsonPayload.health.status=(\"warning\" OR \"error\")"
      labels      = { kind = "health.kind", connection = "health.connection", reason = "health.reason" }
      value       = null
      unit        = "1"
    }
    match_quality = {
      description = "Meta's match quality of an event, from 0 to 10."
      filter      = "${local.of_findings} AND jsonPayload.health.kind=\"match_quality\" AND jsonPayload.health.match_quality:*"
      labels      = { connection = "health.connection", event = "health.event_name" }
      value       = "health.match_quality"
      unit        = "1"
    }
    secrets_due = {
      description = "Secrets that are due for a new version."
      filter      = "${local.of_functions} AND jsonPayload.secret.event=\"SECRET_ROTATE\""
      labels      = { secret = "secret.id" }
      value       = null
      unit        = "1"
    }
  }
}

resource "google_logging_metric" "metric" {
  for_each = local.metrics

  name             = "${var.name}/${each.key}"
  description      = each.value.description
  filter           = each.value.filter
  value_extractor  = each.value.value == null ? null : "EXTRACT(jsonPayload.${each.value.value})"
  label_extractors = { for label, field in each.value.labels : label => "EXTRACT(jsonPayload.${field})" }

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = each.value.value == null ? "INT64" : "DISTRIBUTION"
    unit        = each.value.unit

    dynamic "labels" {
      for_each = each.value.labels
      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }

  dynamic "bucket_options" {
    for_each = each.value.value == null ? [] : [each.value.unit]
    content {
      # Milliseconds from 1 to 65,536, rows from 1 to a million: each bucket is half as wide again, or twice.
      dynamic "exponential_buckets" {
        for_each = bucket_options.value == "%" || each.key == "match_quality" ? [] : [1]
        content {
          num_finite_buckets = bucket_options.value == "ms" ? 40 : 20
          growth_factor      = bucket_options.value == "ms" ? 1.32 : 2
          scale              = 1
        }
      }
      dynamic "linear_buckets" {
        for_each = bucket_options.value == "%" || each.key == "match_quality" ? [1] : []
        content {
          num_finite_buckets = 20
          width              = bucket_options.value == "%" ? 5 : 0.5
          offset             = 0
        }
      }
    }
  }

  depends_on = [google_project_service.used]
}

# A metric can be used some seconds after it was made, and an alert on one that is not known yet is refused.
resource "time_sleep" "metrics" {
  create_duration = "30s"
  triggers        = { metrics = jsonencode([for metric in google_logging_metric.metric : metric.name]) }
}
