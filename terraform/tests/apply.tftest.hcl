# What comes out of an apply, with providers that only pretend; and what stops one.

mock_provider "google" {
  mock_resource "google_service_account" {
    defaults = {
      email  = "account@demo-project.iam.gserviceaccount.com"
      member = "serviceAccount:account@demo-project.iam.gserviceaccount.com"
      name   = "projects/demo-project/serviceAccounts/account@demo-project.iam.gserviceaccount.com"
      id     = "projects/demo-project/serviceAccounts/account@demo-project.iam.gserviceaccount.com"
    }
  }
  mock_resource "google_pubsub_topic" {
    defaults = { id = "projects/demo-project/topics/meta-relay" }
  }
  mock_resource "google_pubsub_subscription" {
    defaults = { id = "projects/demo-project/subscriptions/meta-relay" }
  }
  mock_resource "google_secret_manager_secret" {
    defaults = { id = "projects/demo-project/secrets/meta-relay-token-meta" }
  }
}
mock_provider "google-beta" {
  mock_resource "google_project_service_identity" {
    defaults = {
      email  = "service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
      member = "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
    }
  }
}
mock_provider "archive" {}
mock_provider "time" {}

variables {
  project_id = "demo-project"
}

run "defaults" {
  command = apply

  assert {
    condition     = output.topic == "projects/demo-project/topics/meta-relay"
    error_message = "The topic is told."
  }
  assert {
    condition     = output.dataset == "demo-project.meta_relay"
    error_message = "The dataset is told."
  }
  assert {
    condition     = strcontains(output.next_steps, "gcloud secrets versions add meta-relay-token-meta --project=demo-project")
    error_message = "It is said how the token gets its value."
  }
  assert {
    condition     = keys(output.secrets) == ["token-meta"]
    error_message = "Each secret is told."
  }
  assert {
    # The address and the audience of a push are the same function's.
    condition = alltrue([
      for subscription in google_pubsub_subscription.push :
      startswith(subscription.push_config[0].push_endpoint, "${subscription.push_config[0].oidc_token[0].audience}/projects/demo-project/topics/")
    ])
    error_message = "A push is signed for whom it calls."
  }
}

# The document must fit into an environment variable.
run "a_document_that_is_too_large" {
  command = plan

  variables {
    segments = { mapping = { for key in range(1000) : "KEY_${key}" => [join("", [for _ in range(60) : "x"])] } }
  }

  expect_failures = [google_cloudfunctions2_function.function]
}
