# The right to read what segments are read from, and nothing beside it.

locals {
  source_tables = toset(flatten([for source in values(var.sources) : concat(source.reads, compact([try(source.bigquery.table, null)]))]))
  source_buckets = toset([
    for source in values(var.sources) : regex("^gs://([^/]+)/", source.bucket.uri)[0] if source.bucket != null
  ])
}

resource "google_bigquery_table_iam_member" "source" {
  for_each = local.source_tables

  project    = split(".", each.key)[0]
  dataset_id = split(".", each.key)[1]
  table_id   = split(".", each.key)[2]
  role       = "roles/bigquery.dataViewer"
  member     = google_service_account.account["deliver"].member
}

resource "google_storage_bucket_iam_member" "source" {
  for_each = local.source_buckets

  bucket = each.key
  role   = "roles/storage.objectViewer"
  member = google_service_account.account["deliver"].member
}
