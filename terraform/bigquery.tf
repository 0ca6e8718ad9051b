# The tables that the functions write, from the schemas that their code uses, and what people read.

locals {
  dataset = replace(var.name, "-", "_")

  logs = {
    delivery_log = { clustering = ["kind", "outcome"], description = "One row for each call and outcome." }
    health_log   = { clustering = ["kind", "status"], description = "One row for each thing that a health check has looked at." }
  }
  table_ids = { for name in keys(local.logs) : name => "${var.project_id}.${local.dataset}.${name}" }
}

resource "google_bigquery_dataset" "relay" {
  dataset_id                 = local.dataset
  location                   = coalesce(var.bigquery.location, var.region)
  description                = "What ${var.name} has delivered, and how it is."
  delete_contents_on_destroy = !var.deletion_protection

  dynamic "default_encryption_configuration" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }

  depends_on = [google_project_service.used, google_kms_crypto_key_iam_member.agent]
}

resource "google_bigquery_table" "log" {
  for_each = local.logs

  dataset_id               = google_bigquery_dataset.relay.dataset_id
  table_id                 = each.key
  description              = each.value.description
  schema                   = file("${local.root}/lib/${each.key}.json")
  clustering               = each.value.clustering
  require_partition_filter = true
  deletion_protection      = var.deletion_protection

  time_partitioning {
    type          = "DAY"
    field         = "logged_at"
    expiration_ms = 86400000 * var.bigquery.retention_days
  }
}

# Only what each does: both write the log.
resource "google_bigquery_table_iam_member" "writer" {
  for_each = {
    for pair in setproduct(["receive", "deliver"], keys(local.logs)) : join("-", pair) => { account = pair[0], table = pair[1] }
  }

  dataset_id = google_bigquery_dataset.relay.dataset_id
  table_id   = google_bigquery_table.log[each.value.table].table_id
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.account[each.value.account].member
}

resource "google_bigquery_dataset_iam_member" "reader" {
  for_each = toset(var.bigquery.readers)

  dataset_id = google_bigquery_dataset.relay.dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = each.key
}
