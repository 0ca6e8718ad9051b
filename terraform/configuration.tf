# The configuration document of lib/config.py, written from the variables. It names secrets and holds none, and nothing
# in it is known only after apply: a plan shows what the functions will be told.

locals {
  firestore = try(var.identity.firestore, false)
  people    = "people"
  # What hashes ids of devices and makes ids of people.
  identity_key = local.firestore || try(var.identity.user_id, false)

  document = merge(
    {
      connections = local.connections
      # By way of JSON, since a condition's two results must be of one type.
      callers      = jsondecode(var.callers == null ? "\"iam\"" : jsonencode(local.callers))
      delivery_log = local.table_ids.delivery_log
      health_log   = local.table_ids.health_log
      log_level    = var.log_level
      queue = {
        topic                    = local.topic_ids.queue
        dead_letter_topic        = local.topic_ids.dead
        dead_letter_subscription = local.subscription_ids.dead
      }
      segments = merge(
        { for key, value in var.segments : key => value if value != null },
        { topic = local.topic_ids.changes, subscription = local.subscription_ids.changes },
      )
    },
    {
      for key, value in {
        default_connection  = var.default_connection
        graph_api           = { for key, value in var.graph_api : key => value if value != null }
        consent             = { for key, value in var.consent : key => value if value != null }
        minimum_identifiers = var.minimum_identifiers
        event_enhancement   = var.event_enhancement ? { key = local.versions.event_enhancement } : null
        identity            = local.identity
        sources             = local.sources
      } : key => value if value != null && value != {}
    },
  )
  configuration = jsonencode(local.document)

  connections = {
    for name, connection in var.connections : name => merge(
      {
        for key, value in connection : key => value
        if value != null && !contains(["app_secret", "token_version", "normalization"], key)
      },
      { access_token = "${local.secret_ids["token-${name}"]}/versions/${connection.token_version}" },
      connection.app_secret ? { app_secret = "${local.secret_ids["app-secret-${name}"]}/versions/latest" } : {},
      connection.normalization == null ? {} : {
        normalization = { for key, value in connection.normalization : key => value if value != null }
      },
    )
  }

  callers = {
    for name, caller in coalesce(var.callers, {}) : name => merge(
      { for key, value in caller : key => value if value != null && key != "key_versions" },
      { keys = [for version in caller.key_versions : "${local.secret_ids["key-${name}"]}/versions/${version}"] },
    )
  }

  identity = var.identity == null ? null : merge(
    {
      for key, value in var.identity : key => value
      if value != null && value != false && !contains(["firestore", "limits", "enrich"], key)
    },
    var.identity.endpoint == null ? {} : { access_token = local.versions.identity },
    var.identity.firestore ? { firestore = { database = var.name, collection = local.people } } : {},
    local.identity_key ? { key = local.versions.identity_key } : {},
    var.identity.limits == null ? {} : { limits = { for key, value in var.identity.limits : key => value if value != null } },
    var.identity.enrich == null ? {} : { enrich = { for key, value in var.identity.enrich : key => value if value != null } },
  )

  sources = {
    for name, source in var.sources : name => merge(
      { for key, value in source : key => value if value != null && contains(["row_id", "schedule", "change"], key) },
      source.bigquery == null ? {} : { bigquery = { for key, value in source.bigquery : key => value if value != null } },
      source.bucket == null ? {} : { bucket = source.bucket },
      source.segment == null ? {} : { segment = { for key, value in source.segment : key => value if value != null } },
    )
  }
}
