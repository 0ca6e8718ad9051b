# Who is told of what, with what to do about it.

locals {
  metric_types = { for key, metric in google_logging_metric.metric : key => "logging.googleapis.com/user/${metric.name}" }
  run_metric   = { for key, metric in local.metric_types : key => "metric.type=\"${metric}\" AND resource.type=\"cloud_run_revision\"" }
  backlog      = "resource.type=\"pubsub_subscription\" AND metric.type=\"pubsub.googleapis.com/subscription"
  requests     = "resource.type=\"cloud_run_revision\" AND metric.type=\"run.googleapis.com/request_count\" AND resource.labels.service_name=\"${google_cloudfunctions2_function.function["receive"].name}\""
  logs_of      = "https://console.cloud.google.com/logs/query?project=${var.project_id}"

  # `window_s`: over how long is counted. `share_of`: what it is a share of. `by`: what each has an incident of its own.
  # `missing`: the alert is that there is none.
  alerts = {
    receive_errors = {
      severity = "ERROR"
      title    = "receive answers with errors"
      filter   = "${local.requests} AND metric.labels.response_code_class=\"5xx\""
      share_of = local.requests
      above    = var.alerts.failure_share
      window_s = 900
      aligner  = "ALIGN_DELTA"
      runbook  = "More than the configured share of requests to `receive` ends with 5xx: 502 is a refusal of Meta, 503 waits for Meta and could not be queued, 500 is a fault of ours. Look at the [logs](${local.logs_of}) at ERROR; each line has the trace id of the answer, and `error.action` says what to do."
    }
    failed_deliveries = {
      severity = "ERROR"
      title    = "deliveries fail"
      filter   = "${local.run_metric.deliveries} AND metric.labels.outcome=\"failed\""
      share_of = local.run_metric.deliveries
      above    = var.alerts.failure_share
      window_s = 900
      aligner  = "ALIGN_DELTA"
      by       = ["metric.label.connection"]
      runbook  = "More than the configured share of calls to Meta fails. `SELECT * FROM ${var.project_id}.${local.dataset}.errors WHERE day = CURRENT_DATE()` names each error with its next step. What can still succeed is delivered again for about 16 hours, then it is a dead letter."
    }
    dead_letters = {
      severity = "CRITICAL"
      title    = "dead letters wait"
      filter   = "${local.backlog}/num_undelivered_messages\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.dead.name}\""
      above    = 0
      window_s = 300
      aligner  = "ALIGN_MAX"
      runbook  = "A message could not be delivered, or not be understood; its attribute `reason` says why: `gcloud pubsub subscriptions pull ${google_pubsub_subscription.dead.name} --project=${var.project_id} --limit=10 --format=json`. Mend the cause, then replay them (README.md, Rollback and replay); after ${var.queue.dead_letter_days} days they are gone."
    }
    waiting = {
      severity = "WARNING"
      title    = "messages wait long"
      filter   = "${local.backlog}/oldest_unacked_message_age\" AND resource.labels.subscription_id=one_of(\"${google_pubsub_subscription.push["queue"].name}\", \"${google_pubsub_subscription.changes.name}\")"
      above    = var.alerts.oldest_message_s
      window_s = 300
      aligner  = "ALIGN_MAX"
      runbook  = "The oldest message has waited longer than configured. Either Meta takes no calls (view `meta_usage`: `regain_minutes`), or a person has to act (view `errors`), or there are too few instances (`functions.deliver.max_instances`). For `${google_pubsub_subscription.changes.name}`, see that the job `${var.name}-flush` runs."
    }
    silence = {
      severity = "WARNING"
      title    = "no events"
      filter   = "${local.run_metric.deliveries} AND metric.labels.kind=\"events\""
      missing  = true
      window_s = 3600 * var.alerts.silence_h
      aligner  = "ALIGN_DELTA"
      runbook  = "No event has come for ${var.alerts.silence_h} hours. See that the tag still fires and the publisher still may publish; `withheld` counts as an event too, so consent is not the reason."
    }
    token = {
      severity = "CRITICAL"
      title    = "a token is invalid or expires within 14 days"
      filter   = "${local.run_metric.findings} AND metric.labels.kind=\"token\""
      above    = 0
      window_s = 7200
      aligner  = "ALIGN_DELTA"
      by       = ["metric.label.connection", "metric.label.reason"]
      runbook  = "Make a never-expiring token for the system user in Meta's business settings, and add it as a version: `gcloud secrets versions add ${var.name}-token-CONNECTION --project=${var.project_id} --data-file=-`. It is in use within five minutes; what has waited is delivered by itself."
    }
    account = {
      severity = "ERROR"
      title    = "an ad account, its terms, a dataset or identity has a fault"
      filter   = "${local.run_metric.findings} AND metric.labels.kind=one_of(\"ad_account\", \"terms\", \"dataset\", \"identity\")"
      above    = 0
      window_s = 7200
      aligner  = "ALIGN_DELTA"
      by       = ["metric.label.connection", "metric.label.kind", "metric.label.reason"]
      runbook  = "`SELECT * FROM ${var.project_id}.${local.dataset}.health WHERE status != 'ok'` names it with its next step."
    }
    audience = {
      severity = "ERROR"
      title    = "an audience is flagged"
      filter   = "${local.run_metric.findings} AND metric.labels.kind=\"audience\""
      above    = 0
      window_s = 7200
      aligner  = "ALIGN_DELTA"
      by       = ["metric.label.connection", "metric.label.reason"]
      runbook  = "Meta has marked an audience: few matches (411), invalid entries (412), a replace that lasts or failed (414, 415), or flagged (471). `SELECT * FROM ${var.project_id}.${local.dataset}.health WHERE kind = 'audience' AND status != 'ok'` names it with its next step."
    }
    match_quality = {
      severity = "WARNING"
      title    = "match quality falls"
      filter   = "${local.run_metric.findings} AND metric.labels.kind=one_of(\"match_quality\", \"match_quality_trend\", \"coverage\", \"freshness\")"
      above    = 0
      window_s = 7200
      aligner  = "ALIGN_DELTA"
      by       = ["metric.label.connection", "metric.label.reason"]
      runbook  = "Meta recognises fewer people than the week before, gets fewer events than the pixel, or gets them late. Compare in the view `match_quality`; mostly a form, a tag or a mapping no longer fills a key: view `rejects`."
    }
    no_checks = {
      severity = "ERROR"
      title    = "health checks do not run"
      filter   = local.run_metric.checks
      missing  = true
      window_s = 82800
      aligner  = "ALIGN_DELTA"
      runbook  = "No health check has been made for 23 hours. Look at the Scheduler job `${var.name}-health` and at deliver's logs."
    }
    limits = {
      severity = "WARNING"
      title    = "a limit of Meta is nearly used up"
      filter   = local.run_metric.usage
      above    = 90
      window_s = 900
      aligner  = "ALIGN_PERCENTILE_99"
      by       = ["metric.label.connection"]
      runbook  = "Above 90 percent; at 100 Meta refuses calls, which then wait. View `meta_usage` tells which connection. Send in larger batches, or spread a sync."
    }
    lost_rows = {
      severity = "WARNING"
      title    = "BigQuery does not take rows of a log"
      filter   = local.run_metric.lost_rows
      above    = 0
      window_s = 900
      aligner  = "ALIGN_DELTA"
      runbook  = "Deliveries go on; the rows are in the [logs](${local.logs_of}) at ERROR. See that the tables are there and that both accounts have roles/bigquery.dataEditor on them."
    }
    secret_due = {
      severity = "WARNING"
      title    = "a secret is due for a new version"
      filter   = local.run_metric.secrets_due
      above    = 0
      window_s = 3600
      aligner  = "ALIGN_DELTA"
      by       = ["metric.label.secret"]
      runbook  = "Add a version to the secret that the label names (README.md, Rotation)."
    }
  }

  channels = concat([for channel in google_monitoring_notification_channel.email : channel.id], var.alerts.channels)
}

resource "google_monitoring_notification_channel" "email" {
  for_each = toset(var.alerts.emails)

  display_name = "${var.name}: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }
  user_labels  = local.labels
  depends_on   = [google_project_service.used]
}

resource "google_monitoring_alert_policy" "alert" {
  for_each = { for key, alert in local.alerts : key => alert if !can(alert.missing) }

  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.title

    condition_threshold {
      filter             = each.value.filter
      denominator_filter = try(each.value.share_of, null)
      comparison         = "COMPARISON_GT"
      threshold_value    = each.value.above
      duration           = "0s"

      aggregations {
        alignment_period     = "${each.value.window_s}s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = each.value.aligner == "ALIGN_DELTA" ? "REDUCE_SUM" : "REDUCE_MAX"
        group_by_fields      = try(each.value.by, [])
      }

      dynamic "denominator_aggregations" {
        for_each = can(each.value.share_of) ? [1] : []
        content {
          alignment_period     = "${each.value.window_s}s"
          per_series_aligner   = each.value.aligner
          cross_series_reducer = "REDUCE_SUM"
          group_by_fields      = try(each.value.by, [])
        }
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "${var.name}: ${each.value.title}"
    content   = each.value.runbook
  }

  depends_on = [time_sleep.metrics]
}

# A metric of logs that finds nothing writes zeros for a while, and then nothing: both are silence.
resource "google_monitoring_alert_policy" "silence" {
  for_each = { for key, alert in local.alerts : key => alert if can(alert.missing) }

  display_name          = "${var.name}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "${each.value.title}: nothing is counted"

    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_LT"
      threshold_value = 1
      duration        = "0s"

      aggregations {
        alignment_period     = "${each.value.window_s}s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  conditions {
    display_name = "${each.value.title}: nothing is written"

    condition_absent {
      filter   = each.value.filter
      duration = "${each.value.window_s}s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = each.value.aligner
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    mime_type = "text/markdown"
    subject   = "${var.name}: ${each.value.title}"
    content   = each.value.runbook
  }

  depends_on = [time_sleep.metrics]
}
