# One account for each job, and on the project only what cannot be granted on a resource.

locals {
  accounts = {
    receive = "Runs the function receive"
    deliver = "Runs the function deliver"
    build   = "Builds both functions"
    push    = "Calls deliver for Pub/Sub"
  }

  # The only roles on the project. A query is run by a project, not by a dataset; a build's logs, image and uploaded
  # source lie where Cloud Functions decides; Firestore knows no IAM below the project, so a condition names the database.
  project_roles = merge(
    { for account in local.runners : "${account}-queries" => { account = account, role = "roles/bigquery.jobUser", condition = null } },
    {
      for name, role in {
        logs   = "roles/logging.logWriter"
        image  = "roles/artifactregistry.writer"
        source = "roles/storage.objectViewer"
      } : "build-${name}" => { account = "build", role = role, condition = null }
    },
    {
      for account in local.firestore ? local.runners : [] : "${account}-identity" => {
        account   = account
        role      = "roles/datastore.user"
        condition = "resource.name == \"projects/${var.project_id}/databases/${var.name}\""
      }
    },
  )

  runners = ["receive", "deliver"]
}

resource "google_service_account" "account" {
  for_each = local.accounts

  account_id   = "${var.name}-${each.key}"
  display_name = "${var.name}: ${each.key}"
  description  = "${each.value}."
  depends_on   = [google_project_service.used]
}

resource "google_project_iam_member" "account" {
  for_each = local.project_roles

  project = var.project_id
  role    = each.value.role
  member  = google_service_account.account[each.value.account].member

  dynamic "condition" {
    for_each = each.value.condition == null ? [] : [each.value.condition]
    content {
      title      = "one-database"
      expression = condition.value
    }
  }
}

# On the service, since a function itself cannot be granted: "Role roles/run.invoker is not supported for this resource".
# A function that is made anew has lost its callers, hence `replace_triggered_by`.
resource "google_cloud_run_v2_service_iam_member" "receive_invoker" {
  for_each = setunion(var.invokers, var.public ? ["allUsers"] : [])

  location = var.region
  name     = google_cloudfunctions2_function.function["receive"].name
  role     = "roles/run.invoker"
  member   = each.key

  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.function["receive"].id]
  }
}

# Pub/Sub calls deliver, nobody else does.
resource "google_cloud_run_v2_service_iam_member" "push_invoker" {
  location = var.region
  name     = google_cloudfunctions2_function.function["deliver"].name
  role     = "roles/run.invoker"
  member   = google_service_account.account["push"].member

  lifecycle {
    replace_triggered_by = [google_cloudfunctions2_function.function["deliver"].id]
  }
}

# Pub/Sub signs its pushes as the push account.
resource "google_service_account_iam_member" "push_tokens" {
  service_account_id = google_service_account.account["push"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_project_service_identity.agent["pubsub"].member
}
