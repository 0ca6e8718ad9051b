# Alphabetical. Only `project_id` must be given; what is left out is written into no document, and the default of
# lib/config.py holds.

variable "alerts" {
  type = object({
    emails           = optional(list(string), [])
    channels         = optional(list(string), [])
    failure_share    = optional(number, 0.05)
    oldest_message_s = optional(number, 1800)
    silence_h        = optional(number, 12)
  })
  default     = {}
  nullable    = false
  description = "Who is told (e-mail addresses, ids of notification channels that exist), and from when on: the share of failed deliveries, seconds that the oldest message has waited, hours without an event."

  validation {
    condition     = alltrue([for email in var.alerts.emails : can(regex("^[^@\\s]+@[^@\\s]+$", email))])
    error_message = "alerts.emails must be e-mail addresses."
  }
  validation {
    condition     = alltrue([for id in var.alerts.channels : can(regex("^projects/[^/]+/notificationChannels/[0-9]+$", id))])
    error_message = "alerts.channels must be ids such as projects/p/notificationChannels/1."
  }
  validation {
    condition     = var.alerts.failure_share > 0 && var.alerts.failure_share < 1
    error_message = "alerts.failure_share must be between 0 and 1, such as 0.05."
  }
  validation {
    condition     = var.alerts.oldest_message_s >= 60
    error_message = "alerts.oldest_message_s must be at least 60 seconds."
  }
  validation {
    condition     = var.alerts.silence_h >= 1 && var.alerts.silence_h <= 23
    error_message = "alerts.silence_h must be 1 to 23 hours: Cloud Monitoring knows no longer absence."
  }
}

variable "bigquery" {
  type = object({
    location       = optional(string)
    retention_days = optional(number, 400)
    view_days      = optional(number, 90)
    readers        = optional(list(string), [])
  })
  default     = {}
  nullable    = false
  description = "The delivery log: the dataset's location (the region, unless given), days until a day's rows expire, days that the views look back, and who may read it (IAM members)."

  validation {
    condition     = var.bigquery.retention_days >= 8 && var.bigquery.retention_days <= 3650
    error_message = "bigquery.retention_days must be 8 to 3650."
  }
  validation {
    condition     = var.bigquery.view_days >= 1 && var.bigquery.view_days <= var.bigquery.retention_days
    error_message = "bigquery.view_days must be 1 to retention_days."
  }
  validation {
    condition     = alltrue([for member in var.bigquery.readers : can(regex("^(user|group|serviceAccount|domain):", member))])
    error_message = "bigquery.readers must be IAM members such as group:marketing@example.com."
  }
}

variable "callers" {
  type = map(object({
    actions           = optional(list(string))
    connections       = optional(list(string))
    key_versions      = optional(list(string), ["latest"])
    may_lower_consent = optional(bool)
  }))
  default     = null
  description = "Who may call `receive` with a key of their own, by name; each gets a secret for its key. `key_versions` are the versions that are valid, two while a key is changed. null: no keys, Cloud Run's IAM does the checking (`invokers`)."

  validation {
    condition     = var.callers == null ? true : alltrue([for name in keys(var.callers) : can(regex("^[a-z][a-z0-9-]{0,39}$", name))])
    error_message = "The names of callers must be lower-case letters, digits and dashes, at most 40."
  }
  validation {
    condition = var.callers == null ? true : alltrue(flatten([
      for caller in values(var.callers) : [
        for action in coalesce(caller.actions, []) : contains(
          ["events", "add", "remove", "remove_from_all", "replace", "enter", "leave", "sync", "mirror", "erase"], action
        )
      ]
    ]))
    error_message = "The actions of a caller are events, add, remove, remove_from_all, replace, enter, leave, sync, mirror and erase."
  }
  validation {
    condition = var.callers == null ? true : alltrue(flatten([
      for caller in values(var.callers) : [for name in coalesce(caller.connections, []) : contains(keys(var.connections), name)]
    ]))
    error_message = "A caller names a connection that is not among the connections."
  }
  validation {
    condition = var.callers == null ? true : alltrue(flatten([
      for caller in values(var.callers) : [for version in caller.key_versions : can(regex("^(latest|[1-9][0-9]*)$", version))]
    ]))
    error_message = "A caller's key_versions are \"latest\" or the numbers of versions."
  }
}

variable "connections" {
  type = map(object({
    ad_account_id    = optional(string)
    app_id           = optional(string)
    app_secret       = optional(bool, false)
    dataset_id       = optional(string)
    date_order       = optional(string)
    default_country  = optional(string)
    default_currency = optional(string)
    external_id      = optional(string)
    normalization = optional(object({
      name_spaces  = optional(string)
      city_marks   = optional(string)
      gender_words = optional(map(string))
    }))
    test_event_code = optional(string)
    token_version   = optional(string, "latest")
  }))
  default     = { meta = {} }
  nullable    = false
  description = "Credentials and defaults for Meta, by name; each gets a secret for its access token, and one for its app secret where `app_secret` is true. What each means: README.md at the top."

  validation {
    condition     = length(var.connections) > 0
    error_message = "There must be at least one connection."
  }
  validation {
    condition     = alltrue([for name in keys(var.connections) : can(regex("^[a-z][a-z0-9_-]{0,39}$", name))])
    error_message = "The names of connections must be lower-case letters, digits, _ and -, at most 40."
  }
  validation {
    condition = alltrue(flatten([
      for connection in values(var.connections) : [
        for id in [connection.ad_account_id, connection.app_id, connection.dataset_id, connection.test_event_code] :
        id == null ? true : can(regex("^[A-Za-z0-9_]{1,64}$", id))
      ]
    ]))
    error_message = "ad_account_id, app_id, dataset_id and test_event_code must be letters, digits and _, at most 64."
  }
  validation {
    condition     = alltrue([for connection in values(var.connections) : contains(["mdy", "dmy"], coalesce(connection.date_order, "mdy"))])
    error_message = "date_order must be mdy or dmy."
  }
  validation {
    condition     = alltrue([for connection in values(var.connections) : can(regex("^[A-Za-z]{2}$", coalesce(connection.default_country, "DE")))])
    error_message = "default_country must be an ISO 3166-1 alpha-2 code such as DE."
  }
  validation {
    condition     = alltrue([for connection in values(var.connections) : can(regex("^[A-Z]{3}$", coalesce(connection.default_currency, "EUR")))])
    error_message = "default_currency must be an ISO 4217 code such as EUR."
  }
  validation {
    condition     = alltrue([for connection in values(var.connections) : contains(["hash", "plain"], coalesce(connection.external_id, "hash"))])
    error_message = "external_id must be hash or plain."
  }
  validation {
    condition     = alltrue([for connection in values(var.connections) : contains(["keep", "drop"], try(coalesce(connection.normalization.name_spaces, "keep"), "keep"))])
    error_message = "normalization.name_spaces must be keep or drop."
  }
  validation {
    condition     = alltrue([for connection in values(var.connections) : contains(["keep", "strip"], try(coalesce(connection.normalization.city_marks, "keep"), "keep"))])
    error_message = "normalization.city_marks must be keep or strip."
  }
  validation {
    condition     = alltrue([for connection in values(var.connections) : can(regex("^(latest|[1-9][0-9]*)$", connection.token_version))])
    error_message = "token_version must be \"latest\" or the number of a version."
  }
}

variable "consent" {
  type = object({
    events    = optional(list(string))
    audiences = optional(list(string))
    segments  = optional(list(string))
    absent    = optional(string)
  })
  default     = {}
  nullable    = false
  description = "The consent signals that each kind of request requires, and what an unstated one counts as."

  validation {
    condition = alltrue([
      for signal in flatten([for signals in [var.consent.events, var.consent.audiences, var.consent.segments] : coalesce(signals, [])]) :
      contains(["ad_storage", "ad_user_data", "ad_personalization", "analytics_storage"], signal)
    ])
    error_message = "The signals are ad_storage, ad_user_data, ad_personalization and analytics_storage."
  }
  validation {
    condition     = contains(["denied", "granted"], coalesce(var.consent.absent, "denied"))
    error_message = "consent.absent must be denied or granted."
  }
}

variable "default_connection" {
  type        = string
  default     = null
  description = "The connection of a request that names none; where there is only one it is that."

  validation {
    condition     = var.default_connection == null ? true : contains(keys(var.connections), var.default_connection)
    error_message = "default_connection is not among the connections."
  }
}

variable "deletion_protection" {
  type        = bool
  default     = true
  nullable    = false
  description = "Whether tables and secrets are kept from `terraform destroy`; set it to false and apply before tearing down."
}

variable "event_enhancement" {
  type        = bool
  default     = false
  nullable    = false
  description = "Whether `_gtmeec` cookies are read and written; makes a secret for the key that signs them."
}

variable "functions" {
  type = object({
    receive = optional(object({
      memory        = optional(string, "512Mi")
      cpu           = optional(string, "1")
      concurrency   = optional(number, 40)
      min_instances = optional(number, 0)
      max_instances = optional(number, 10)
      timeout_s     = optional(number, 60)
      ingress       = optional(string)
    }), {})
    deliver = optional(object({
      memory        = optional(string, "1Gi")
      cpu           = optional(string, "1")
      concurrency   = optional(number, 16)
      min_instances = optional(number, 0)
      max_instances = optional(number, 10)
      timeout_s     = optional(number, 540)
    }), {})
  })
  default     = {}
  nullable    = false
  description = "The size of both functions. `receive.ingress` is ALLOW_INTERNAL_ONLY, or ALLOW_ALL where `public` is set, unless given."

  validation {
    condition     = alltrue([for one in values(var.functions) : can(regex("^[0-9]+(Mi|Gi)$", one.memory))])
    error_message = "The memory of a function must be such as 512Mi or 1Gi."
  }
  validation {
    condition     = alltrue([for one in values(var.functions) : one.concurrency >= 1 && one.concurrency <= 1000 && (one.concurrency == 1 || try(tonumber(one.cpu) >= 1, false))])
    error_message = "A function's concurrency must be 1 to 1000, and above 1 it needs a cpu of at least 1."
  }
  validation {
    condition     = alltrue([for one in values(var.functions) : one.max_instances >= 1 && one.min_instances >= 0 && one.min_instances <= one.max_instances])
    error_message = "min_instances must be 0 to max_instances, and max_instances at least 1."
  }
  validation {
    condition     = var.functions.receive.timeout_s >= 5 && var.functions.receive.timeout_s <= 3600
    error_message = "functions.receive.timeout_s must be 5 to 3600 seconds."
  }
  validation {
    condition     = var.functions.deliver.timeout_s >= 60 && var.functions.deliver.timeout_s <= 590
    error_message = "functions.deliver.timeout_s must be 60 to 590 seconds: Pub/Sub waits for 600."
  }
  validation {
    condition     = contains(["ALLOW_ALL", "ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB"], coalesce(var.functions.receive.ingress, "ALLOW_ALL"))
    error_message = "functions.receive.ingress must be ALLOW_ALL, ALLOW_INTERNAL_ONLY or ALLOW_INTERNAL_AND_GCLB."
  }
}

variable "graph_api" {
  type = object({
    version   = optional(string)
    url       = optional(string)
    timeout_s = optional(number)
  })
  default     = {}
  nullable    = false
  description = "Version and address of Meta's Graph API, and seconds for one call."

  validation {
    condition     = can(regex("^v[0-9]{1,3}\\.[0-9]$", coalesce(var.graph_api.version, "v26.0")))
    error_message = "graph_api.version must be such as v26.0."
  }
  validation {
    condition     = can(regex("^https://[A-Za-z0-9.-]+(:[0-9]+)?$", coalesce(var.graph_api.url, "https://graph.facebook.com")))
    error_message = "graph_api.url must be https://host."
  }
  validation {
    condition     = coalesce(var.graph_api.timeout_s, 10) > 0 && coalesce(var.graph_api.timeout_s, 10) <= 60
    error_message = "graph_api.timeout_s must be up to 60 seconds."
  }
}

variable "identity" {
  type = object({
    endpoint      = optional(string)
    send          = optional(list(string))
    cache_s       = optional(number)
    firestore     = optional(bool, false)
    timeout_ms    = optional(number)
    anonymous_id  = optional(string)
    keep_days     = optional(number)
    shared_values = optional(list(string))
    limits = optional(object({
      per_device = optional(number)
      per_phone  = optional(number)
      per_person = optional(number)
      devices    = optional(number)
    }))
    enrich = optional(object({
      external_id    = optional(bool)
      fields         = optional(list(string))
      fbc            = optional(string)
      look_back_days = optional(number)
    }))
    user_id = optional(bool, false)
  })
  default     = null
  description = "Recognising known people: the address of an identity service, with a secret for its token, or a Firestore database of one's own; with it or `user_id` a secret for the key that hashes. null: off."

  validation {
    condition     = var.identity == null ? true : can(regex("^https://[^\\s]+$", coalesce(var.identity.endpoint, "https://example.com")))
    error_message = "identity.endpoint must be an https:// address."
  }
  validation {
    condition     = var.identity == null ? true : var.identity.endpoint != null || var.identity.firestore || var.identity.user_id
    error_message = "identity needs an endpoint, firestore or user_id."
  }
  validation {
    condition     = var.identity == null ? true : var.identity.endpoint == null || !var.identity.firestore
    error_message = "identity has an endpoint or firestore, not both."
  }
  validation {
    condition     = var.identity == null ? true : coalesce(var.identity.timeout_ms, 800) > 0 && coalesce(var.identity.timeout_ms, 800) <= 5000
    error_message = "identity.timeout_ms must be 1 to 5000."
  }
  validation {
    condition     = var.identity == null ? true : coalesce(var.identity.keep_days, 90) >= 1 && coalesce(var.identity.keep_days, 90) <= 730
    error_message = "identity.keep_days must be 1 to 730."
  }
  validation {
    condition     = contains(["none", "first", "last"], try(coalesce(var.identity.enrich.fbc, "none"), "none"))
    error_message = "identity.enrich.fbc must be none, first or last."
  }
}

variable "invokers" {
  type        = list(string)
  default     = []
  nullable    = false
  description = "Who may call `receive` by IAM, such as serviceAccount:sgtm@p.iam.gserviceaccount.com."

  validation {
    condition     = alltrue([for member in var.invokers : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):", member))])
    error_message = "invokers must be IAM members; for everybody set `public`."
  }
}

variable "kms_key" {
  type        = string
  default     = null
  description = "A key of your own that encrypts topics, secrets, tables, source and functions; in the same region."

  validation {
    condition     = can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", coalesce(var.kms_key, "projects/p/locations/l/keyRings/r/cryptoKeys/k")))
    error_message = "kms_key must be projects/…/locations/…/keyRings/…/cryptoKeys/…."
  }
}

variable "labels" {
  type        = map(string)
  default     = {}
  nullable    = false
  description = "Further labels of all that is made."
}

variable "log_level" {
  type        = string
  default     = "INFO"
  nullable    = false
  description = "From which level on the functions log."

  validation {
    condition     = contains(["DEBUG", "INFO", "WARNING", "ERROR"], var.log_level)
    error_message = "log_level must be DEBUG, INFO, WARNING or ERROR."
  }
}

variable "minimum_identifiers" {
  type        = list(list(string))
  default     = null
  description = "The combinations of audience keys that name a person well enough."

  validation {
    condition     = alltrue([for keys in coalesce(var.minimum_identifiers, []) : length(keys) > 0])
    error_message = "minimum_identifiers must be lists of at least one key."
  }
}

variable "name" {
  type        = string
  default     = "meta-relay"
  nullable    = false
  description = "The name of all that is made; another one makes a second deployment in the same project."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{3,20}[a-z0-9]$", var.name))
    error_message = "name must be 5 to 22 lower-case letters, digits and dashes."
  }
}

variable "project_id" {
  type        = string
  nullable    = false
  description = "The Google Cloud project that everything is made in."

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project's id, not its name or number."
  }
}

variable "public" {
  type        = bool
  default     = false
  nullable    = false
  description = "Whether anybody may reach `receive`, so that only the callers' keys guard it."

  validation {
    condition     = !var.public || length(coalesce(var.callers, {})) > 0
    error_message = "A public receive needs callers: without keys anybody could send anything."
  }
}

variable "publishers" {
  type        = list(string)
  default     = []
  nullable    = false
  description = "Who may publish messages to the topic: a CDP, or server-side GTM (IAM members)."

  validation {
    condition     = alltrue([for member in var.publishers : can(regex("^(user|group|serviceAccount|domain|principal|principalSet):", member))])
    error_message = "publishers must be IAM members such as serviceAccount:sgtm@p.iam.gserviceaccount.com."
  }
}

variable "queue" {
  type = object({
    attempts          = optional(number, 100)
    minimum_backoff_s = optional(number, 10)
    maximum_backoff_s = optional(number, 600)
    retention_days    = optional(number, 7)
    dead_letter_days  = optional(number, 31)
  })
  default     = {}
  nullable    = false
  description = "How often and at what distance a message is delivered again, and how many days it and a dead letter are kept."

  validation {
    condition     = var.queue.attempts >= 5 && var.queue.attempts <= 100
    error_message = "queue.attempts must be 5 to 100."
  }
  validation {
    condition     = var.queue.minimum_backoff_s >= 0 && var.queue.minimum_backoff_s <= var.queue.maximum_backoff_s && var.queue.maximum_backoff_s <= 600
    error_message = "The backoff must be 0 to 600 seconds, its minimum not above its maximum."
  }
  validation {
    condition     = alltrue([for days in [var.queue.retention_days, var.queue.dead_letter_days] : days >= 1 && days <= 31])
    error_message = "queue.retention_days and queue.dead_letter_days must be 1 to 31."
  }
}

variable "region" {
  type        = string
  default     = "europe-west1"
  nullable    = false
  description = "Where everything runs and rests."

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be such as europe-west1."
  }
}

variable "runtime" {
  type        = string
  default     = "python313"
  nullable    = false
  description = "The runtime of both functions."

  validation {
    condition     = contains(["python311", "python312", "python313"], var.runtime)
    error_message = "runtime must be python311, python312 or python313, which are tested."
  }
}

variable "schedule" {
  type = object({
    flush     = optional(string, "* * * * *")
    health    = optional(string, "17 * * * *")
    time_zone = optional(string, "Etc/UTC")
  })
  default     = {}
  nullable    = false
  description = "When gathered changes are sent and when the deep health check runs, in cron's format."

  validation {
    condition     = alltrue([for cron in [var.schedule.flush, var.schedule.health] : can(regex("^(\\S+ ){4}\\S+$", cron))])
    error_message = "schedule.flush and schedule.health must be five fields of cron."
  }
}

variable "secrets" {
  type = object({
    rotation_days      = optional(number, 90)
    destroy_after_days = optional(number, 7)
  })
  default     = {}
  nullable    = false
  description = "Days after which a secret is called due for a new version, and days for which a destroyed version can be had back."

  validation {
    condition     = var.secrets.rotation_days >= 1 && var.secrets.rotation_days <= 3650
    error_message = "secrets.rotation_days must be 1 to 3650."
  }
  validation {
    condition     = var.secrets.destroy_after_days >= 1 && var.secrets.destroy_after_days <= 1000
    error_message = "secrets.destroy_after_days must be 1 to 1000."
  }
}

variable "segments" {
  type = object({
    prefix     = optional(string)
    mapping    = optional(map(list(string)))
    mappings   = optional(map(map(list(string))))
    max_shrink = optional(number)
    on_deleted = optional(string)
  })
  default     = {}
  nullable    = false
  description = "How a CDP's segments become audiences: the prefix of their names, which properties feed which audience key (for all, and by segment id), the share by which a replace may shrink one, and what happens to a deleted audience."

  validation {
    condition     = coalesce(var.segments.max_shrink, 0.5) >= 0 && coalesce(var.segments.max_shrink, 0.5) <= 1
    error_message = "segments.max_shrink must be 0 to 1."
  }
  validation {
    condition     = contains(["create", "report"], coalesce(var.segments.on_deleted, "create"))
    error_message = "segments.on_deleted must be create or report."
  }
}

variable "sources" {
  type = map(object({
    bigquery = optional(object({
      table = optional(string)
      query = optional(string)
    }))
    bucket = optional(object({
      uri    = string
      format = string
    }))
    reads    = optional(list(string), [])
    row_id   = optional(string)
    schedule = optional(string)
    segment = optional(object({
      id   = string
      name = optional(string)
    }))
    change = optional(string)
  }))
  default     = {}
  nullable    = false
  description = "Where whole segments are read from, by name: a BigQuery table, a query, or files in a bucket; with a `schedule` (cron), a `segment` and a `change` it is sent by itself. `reads` are further tables that a query reads, for which `deliver` gets the right."

  validation {
    condition     = alltrue([for name in keys(var.sources) : can(regex("^[a-z][a-z0-9_-]{0,39}$", name))])
    error_message = "The names of sources must be lower-case letters, digits, _ and -, at most 40."
  }
  validation {
    condition     = alltrue([for source in values(var.sources) : length([for one in [try(source.bigquery.table, null), try(source.bigquery.query, null), source.bucket] : one if one != null]) == 1])
    error_message = "A source is one of bigquery.table, bigquery.query and bucket."
  }
  validation {
    condition = alltrue(flatten([
      for source in values(var.sources) : [
        for table in concat(source.reads, compact([try(source.bigquery.table, null)])) : can(regex("^[^.\\s`]+\\.[^.\\s`]+\\.[^.\\s`]+$", table))
      ]
    ]))
    error_message = "A table must be project.dataset.table."
  }
  validation {
    condition     = alltrue([for source in values(var.sources) : source.bucket == null ? true : can(regex("^gs://[^/\\s]+/\\S+$", source.bucket.uri))])
    error_message = "bucket.uri must be gs://bucket/path."
  }
  validation {
    condition     = alltrue([for source in values(var.sources) : source.schedule == null ? true : can(regex("^(\\S+ ){4}\\S+$", source.schedule)) && source.segment != null && source.change != null])
    error_message = "A source's schedule must be five fields of cron, and needs a segment and a change."
  }
  validation {
    condition     = alltrue([for source in values(var.sources) : contains(["sync", "mirror", "replace"], coalesce(source.change, "sync"))])
    error_message = "A source's change must be sync, mirror or replace."
  }
}

variable "vpc_egress" {
  type = object({
    network    = string
    subnetwork = string
    traffic    = optional(string, "private_ranges_only")
    tags       = optional(list(string), [])
  })
  default     = null
  description = "Calls out through a network of your own (Direct VPC egress): all_traffic for a fixed address by Cloud NAT, private_ranges_only for services inside."

  validation {
    condition     = contains(["all_traffic", "private_ranges_only"], try(var.vpc_egress.traffic, "all_traffic"))
    error_message = "vpc_egress.traffic must be all_traffic or private_ranges_only."
  }
}
