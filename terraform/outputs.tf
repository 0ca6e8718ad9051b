output "configuration" {
  description = "The configuration document, for `python -m lib.cli` on a desk; it names secrets and holds none."
  value       = local.configuration
}

output "dataset" {
  description = "The BigQuery dataset with the logs and the views."
  value       = "${var.project_id}.${local.dataset}"
}

output "dead_letter_subscription" {
  description = "Where dead letters wait."
  value       = google_pubsub_subscription.dead.id
}

output "next_steps" {
  description = "What is left to do after the first apply."
  value = join("\n", [
    "Add a version to each secret (its value never touches Terraform):",
    join("\n", [
      for name in keys(local.secrets) :
      "  printf %s \"$VALUE\" | gcloud secrets versions add ${var.name}-${name} --project=${var.project_id} --data-file=-"
    ]),
    "Then have everything looked at, and read what was found:",
    "  gcloud scheduler jobs run ${var.name}-health --project=${var.project_id} --location=${var.region}",
    "  bq query --project_id=${var.project_id} --use_legacy_sql=false 'SELECT kind, connection, subject, status, message, action FROM ${local.dataset}.health'",
  ])
}

output "receive_url" {
  description = "The address of `receive`."
  value       = google_cloudfunctions2_function.function["receive"].service_config[0].uri
  depends_on  = [google_cloud_run_v2_service_iam_member.receive_invoker]
}

output "secrets" {
  description = "The secrets that want a version, by what they are for."
  value       = { for name, secret in google_secret_manager_secret.secret : name => secret.id }
}

output "service_accounts" {
  description = "The accounts that the deployment runs as."
  value       = { for name, account in google_service_account.account : name => account.email }
}

output "topic" {
  description = "Where a CDP or server-side GTM publishes."
  value       = google_pubsub_topic.topic["queue"].id
  depends_on  = [google_pubsub_subscription.push]
}
