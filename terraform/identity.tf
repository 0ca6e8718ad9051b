# Known people recognised again: a database of one's own, whose documents end by themselves.

resource "google_firestore_database" "identity" {
  count = local.firestore ? 1 : 0

  name                    = var.name
  location_id             = var.region
  type                    = "FIRESTORE_NATIVE"
  delete_protection_state = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy         = "DELETE"

  dynamic "cmek_config" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      kms_key_name = cmek_config.value
    }
  }

  depends_on = [google_project_service.used, google_kms_crypto_key_iam_member.agent]
}

# What lib/firestore_store.py calls the end of a document. Nobody asks for it, so that it needs no index.
resource "google_firestore_field" "expires_at" {
  count = local.firestore ? 1 : 0

  database   = google_firestore_database.identity[0].name
  collection = local.people
  field      = "expires_at"

  ttl_config {}
  index_config {}
}
