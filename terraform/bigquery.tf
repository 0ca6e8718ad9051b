# The tables that the functions write, from the schemas that their code uses, and what people read.

locals {
  dataset = replace(var.name, "-", "_")

  logs = {
    delivery_log = {
      clustering  = ["kind", "outcome"]
      description = "One row for each call and outcome."
      writers     = ["receive", "deliver"]
    }
    health_log = {
      clustering  = ["kind", "status"]
      description = "One row for each thing that a health check has looked at."
      writers     = ["deliver"]
    }
  }
  # Each reads the view `deliveries` or the health log; README.md says what for.
  views = toset(["consent", "errors", "health", "identity", "latency", "match_keys", "match_quality", "meta_usage", "outcomes", "rejects"])
  view_values = {
    delivery_log = local.table_ids.delivery_log
    health_log   = local.table_ids.health_log
    deliveries   = "${var.project_id}.${local.dataset}.deliveries"
    view_days    = var.bigquery.view_days
    steps        = jsondecode(file("${path.module}/views/next_steps.json"))
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

# The members that a mirror has sent, hashed: what it compares the next one with.
resource "google_bigquery_table" "members" {
  dataset_id          = google_bigquery_dataset.relay.dataset_id
  table_id            = "members"
  description         = "The members of each audience's last mirrors, hashed; nobody but deliver reads them."
  schema              = file("${local.root}/lib/members.json")
  clustering          = ["audience_id", "sync_id"]
  deletion_protection = var.deletion_protection
}

resource "google_bigquery_table" "deliveries" {
  dataset_id          = google_bigquery_dataset.relay.dataset_id
  table_id            = "deliveries"
  description         = "The delivery log of the last ${var.bigquery.view_days} days, each row once."
  deletion_protection = false

  view {
    query          = templatefile("${path.module}/views/deliveries.sql", local.view_values)
    use_legacy_sql = false
  }

  depends_on = [google_bigquery_table.log]
}

resource "google_bigquery_table" "view" {
  for_each = local.views

  dataset_id          = google_bigquery_dataset.relay.dataset_id
  table_id            = each.key
  description         = trimprefix(split("\n", file("${path.module}/views/${each.key}.sql"))[0], "-- ")
  deletion_protection = false

  view {
    query          = templatefile("${path.module}/views/${each.key}.sql", local.view_values)
    use_legacy_sql = false
  }

  depends_on = [google_bigquery_table.deliveries]
}

resource "google_bigquery_table_iam_member" "writer" {
  for_each = merge([
    for name, log in local.logs : { for account in log.writers : "${account}-${name}" => { account = account, table = name } }
  ]...)

  dataset_id = google_bigquery_dataset.relay.dataset_id
  table_id   = google_bigquery_table.log[each.value.table].table_id
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.account[each.value.account].member
}

resource "google_bigquery_table_iam_member" "members" {
  dataset_id = google_bigquery_dataset.relay.dataset_id
  table_id   = google_bigquery_table.members.table_id
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.account["deliver"].member
}

# Logs and views one by one, and not the dataset: the members in it are nobody's to look at.
resource "google_bigquery_table_iam_member" "reader" {
  for_each = {
    for pair in setproduct(var.bigquery.readers, concat(keys(local.logs), ["deliveries"], tolist(local.views))) :
    join(" ", pair) => { member = pair[0], table = pair[1] }
  }

  dataset_id = google_bigquery_dataset.relay.dataset_id
  table_id   = each.value.table
  role       = "roles/bigquery.dataViewer"
  member     = each.value.member
  depends_on = [google_bigquery_table.log, google_bigquery_table.view]
}
