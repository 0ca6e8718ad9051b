___TERMS_OF_SERVICE___

By creating or modifying this file you agree to Google Tag Manager's Community
Template Gallery Developer Terms of Service available at
https://developers.google.com/tag-manager/gallery-tos (or such other URL as
Google may provide), as modified from time to time.


___INFO___

{
  "type": "TAG",
  "id": "cvt_temp_public_id",
  "version": 1,
  "securityGroups": [],
  "displayName": "Meta Relay",
  "categories": [
    "ADVERTISING",
    "CONVERSIONS",
    "REMARKETING"
  ],
  "brand": {
    "id": "brand_dummy",
    "displayName": "Meta Relay"
  },
  "description": "Hands events and audience members to a Meta Relay in your own Google Cloud project, by Pub/Sub or HTTP: Conversions API, Custom Audiences and segments, without a token in the container.",
  "containerContexts": [
    "SERVER"
  ]
}


___TEMPLATE_PARAMETERS___

[
  {
    "type": "SELECT",
    "name": "action",
    "displayName": "Action",
    "macrosInSelect": false,
    "simpleValueType": true,
    "help": "What is handed to the relay: an event for the Conversions API, people for a customer-file audience, or somebody who enters or leaves a segment (whose audience the relay finds or creates).",
    "defaultValue": "events",
    "alwaysInSummary": true,
    "valueValidators": [
      {
        "type": "NON_EMPTY"
      }
    ],
    "selectItems": [
      {
        "value": "events",
        "displayValue": "Send an event (Conversions API)"
      },
      {
        "value": "add",
        "displayValue": "Add to Audience"
      },
      {
        "value": "remove",
        "displayValue": "Remove from Audience"
      },
      {
        "value": "remove_from_all",
        "displayValue": "Remove from All Audiences"
      },
      {
        "value": "enter",
        "displayValue": "Enter a segment"
      },
      {
        "value": "leave",
        "displayValue": "Leave a segment"
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "transportGroup",
    "displayName": "Way to the relay",
    "groupStyle": "ZIPPY_OPEN",
    "subParams": [
      {
        "type": "RADIO",
        "name": "transport",
        "displayName": "Hand over by",
        "simpleValueType": true,
        "help": "Pub/Sub needs no secret, and what is published is retried until it is delivered; the answer says only that it is held. HTTP answers with what became of it, and sets cookies.",
        "defaultValue": "pubsub",
        "radioItems": [
          {
            "value": "pubsub",
            "displayValue": "Pub/Sub: no secret, nothing public",
            "help": "Publishes with the service account of the tagging server, which needs the role Pub/Sub Publisher on the topic.",
            "subParams": [
              {
                "type": "TEXT",
                "name": "topic",
                "displayName": "Topic",
                "simpleValueType": true,
                "help": "The relay's topic by its full name.",
                "valueHint": "projects/my-project/topics/meta-relay",
                "valueValidators": [
                  {
                    "type": "NON_EMPTY"
                  },
                  {
                    "type": "REGEX",
                    "args": [
                      "^projects/[^/ ]+/topics/[^/ ]+$"
                    ],
                    "errorMessage": "The full name: projects/PROJECT/topics/TOPIC"
                  }
                ]
              }
            ]
          },
          {
            "value": "http",
            "displayValue": "HTTP: with an answer, and cookies",
            "help": "Calls the function receive. Addresses other than run.app and cloudfunctions.net have to be added to the template's permission Sends HTTP Requests.",
            "subParams": [
              {
                "type": "TEXT",
                "name": "relayUrl",
                "displayName": "Address of the relay",
                "simpleValueType": true,
                "help": "Where the function receive is, without /events, /audiences or /segments.",
                "valueHint": "https://meta-relay-abc123-ew.a.run.app",
                "valueValidators": [
                  {
                    "type": "NON_EMPTY"
                  },
                  {
                    "type": "REGEX",
                    "args": [
                      "^https://.+"
                    ],
                    "errorMessage": "An address that begins with https://"
                  }
                ]
              },
              {
                "type": "RADIO",
                "name": "authentication",
                "displayName": "Authentication Type",
                "simpleValueType": true,
                "help": "A signature proves the key without sending it, and covers the body and the time.",
                "defaultValue": "signature",
                "radioItems": [
                  {
                    "value": "signature",
                    "displayValue": "Signature",
                    "help": "HMAC-SHA256 with the key \"meta-relay\" of the file that SGTM_CREDENTIALS names on the tagging server: {\"keys\": {\"meta-relay\": \"BASE64 OF THE KEY\"}}."
                  },
                  {
                    "value": "key",
                    "displayValue": "Key in a header",
                    "help": "Where the tagging server cannot be given a key file. Whoever may read this container can read the key.",
                    "subParams": [
                      {
                        "type": "TEXT",
                        "name": "relayKey",
                        "displayName": "Key",
                        "simpleValueType": true,
                        "help": "A key of the relay's caller, sent as X-Relay-Key. Never a token of Meta.",
                        "valueHint": "the key, or a variable that holds it",
                        "valueValidators": [
                          {
                            "type": "NON_EMPTY"
                          }
                        ]
                      }
                    ]
                  }
                ]
              },
              {
                "type": "SELECT",
                "name": "useOptimisticScenario",
                "displayName": "Use Optimistic Scenario",
                "macrosInSelect": true,
                "simpleValueType": true,
                "help": "true: the relay answers as soon as its queue holds the request, without waiting for Meta. Unlike in other tags nothing is lost by it: the queue retries, and the delivery log tells how it ended.",
                "defaultValue": false,
                "selectItems": [
                  {
                    "value": true,
                    "displayValue": "true"
                  },
                  {
                    "value": false,
                    "displayValue": "false"
                  }
                ]
              },
              {
                "type": "TEXT",
                "name": "timeout",
                "displayName": "Time-out in milliseconds",
                "simpleValueType": true,
                "help": "How long the relay is waited for: 500 to 5000. With a queue it answers within 2.5 seconds.",
                "defaultValue": "4000",
                "valueHint": "4000",
                "valueValidators": [
                  {
                    "type": "REGEX",
                    "args": [
                      "^([5-9][0-9]{2}|[1-4][0-9]{3}|5000)$"
                    ],
                    "errorMessage": "500 to 5000"
                  }
                ]
              }
            ]
          }
        ]
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "destinationsGroup",
    "displayName": "Destinations",
    "groupStyle": "ZIPPY_OPEN",
    "subParams": [
      {
        "type": "TEXT",
        "name": "connection",
        "displayName": "Connection",
        "simpleValueType": true,
        "help": "The name under which the relay keeps the credentials. Tokens stay there, in Secret Manager. Empty: the relay's default connection.",
        "valueHint": "the default connection",
        "valueValidators": [
          {
            "type": "REGEX",
            "args": [
              "^[^\\s]*$"
            ],
            "errorMessage": "The name of a connection, without spaces"
          }
        ]
      },
      {
        "type": "SIMPLE_TABLE",
        "name": "datasetList",
        "displayName": "Datasets (pixels)",
        "newRowButtonText": "Add Dataset",
        "help": "Each gets the event. Empty: the dataset of the connection. A connection or a test code of its own only where it differs.",
        "enablingConditions": [
          {
            "paramName": "action",
            "paramValue": "events",
            "type": "EQUALS"
          }
        ],
        "simpleTableColumns": [
          {
            "type": "TEXT",
            "name": "dataset_id",
            "displayName": "Dataset ID",
            "defaultValue": "",
            "isUnique": true,
            "valueHint": "987654321098765",
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              },
              {
                "type": "POSITIVE_NUMBER"
              }
            ]
          },
          {
            "type": "TEXT",
            "name": "connection",
            "displayName": "Connection",
            "defaultValue": "",
            "valueHint": "as above",
            "valueValidators": [
              {
                "type": "REGEX",
                "args": [
                  "^[^\\s]*$"
                ]
              }
            ]
          },
          {
            "type": "TEXT",
            "name": "test_event_code",
            "displayName": "Test ID",
            "defaultValue": "",
            "valueHint": "TEST12345",
            "valueValidators": [
              {
                "type": "REGEX",
                "args": [
                  "^[A-Za-z0-9_]{0,64}$"
                ]
              }
            ]
          }
        ]
      },
      {
        "type": "SIMPLE_TABLE",
        "name": "audienceList",
        "displayName": "Destination Audiences",
        "newRowButtonText": "Add Audience",
        "help": "Audience ID: from the Audiences panel of Ads Manager. Value-based: the audience takes LOOKALIKE_VALUE; other audiences never see it.",
        "enablingConditions": [
          {
            "paramName": "action",
            "paramValue": "add",
            "type": "EQUALS"
          },
          {
            "paramName": "action",
            "paramValue": "remove",
            "type": "EQUALS"
          }
        ],
        "valueValidators": [
          {
            "type": "NON_EMPTY"
          }
        ],
        "simpleTableColumns": [
          {
            "type": "TEXT",
            "name": "audience_id",
            "displayName": "Audience ID",
            "defaultValue": "",
            "isUnique": true,
            "valueHint": "1234567890",
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              },
              {
                "type": "POSITIVE_NUMBER"
              }
            ]
          },
          {
            "type": "TEXT",
            "name": "connection",
            "displayName": "Connection",
            "defaultValue": "",
            "valueHint": "as above",
            "valueValidators": [
              {
                "type": "REGEX",
                "args": [
                  "^[^\\s]*$"
                ]
              }
            ]
          },
          {
            "type": "SELECT",
            "name": "value_based",
            "displayName": "Value-based",
            "defaultValue": false,
            "selectItems": [
              {
                "value": false,
                "displayValue": "false"
              },
              {
                "value": true,
                "displayValue": "true"
              }
            ]
          }
        ]
      },
      {
        "type": "SIMPLE_TABLE",
        "name": "adAccountList",
        "displayName": "Destination Ad Accounts",
        "newRowButtonText": "Add Ad Account",
        "help": "From whose customer-file audiences people are removed; with or without act_. Empty: the ad account of the connection.",
        "enablingConditions": [
          {
            "paramName": "action",
            "paramValue": "remove_from_all",
            "type": "EQUALS"
          }
        ],
        "simpleTableColumns": [
          {
            "type": "TEXT",
            "name": "ad_account_id",
            "displayName": "Ad Account ID",
            "defaultValue": "",
            "isUnique": true,
            "valueHint": "1234567890",
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              },
              {
                "type": "REGEX",
                "args": [
                  "^(act_)?[0-9]+$"
                ],
                "errorMessage": "A number, with or without act_"
              }
            ]
          },
          {
            "type": "TEXT",
            "name": "connection",
            "displayName": "Connection",
            "defaultValue": "",
            "valueHint": "as above",
            "valueValidators": [
              {
                "type": "REGEX",
                "args": [
                  "^[^\\s]*$"
                ]
              }
            ]
          }
        ]
      },
      {
        "type": "GROUP",
        "name": "segmentGroup",
        "groupStyle": "NO_ZIPPY",
        "enablingConditions": [
          {
            "paramName": "action",
            "paramValue": "enter",
            "type": "EQUALS"
          },
          {
            "paramName": "action",
            "paramValue": "leave",
            "type": "EQUALS"
          }
        ],
        "subParams": [
          {
            "type": "TEXT",
            "name": "segmentId",
            "displayName": "Segment ID",
            "simpleValueType": true,
            "help": "By it the relay knows the segment's audience again, also after the segment has been renamed.",
            "valueHint": "44A23B49",
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              },
              {
                "type": "REGEX",
                "args": [
                  "^.{1,128}$"
                ],
                "errorMessage": "At most 128 characters"
              }
            ]
          },
          {
            "type": "TEXT",
            "name": "segmentName",
            "displayName": "Segment Name",
            "simpleValueType": true,
            "help": "The audience is called CA_ and this name when it is created.",
            "valueHint": "Segment 1",
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              }
            ]
          }
        ]
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "eventGroup",
    "displayName": "Event",
    "groupStyle": "ZIPPY_OPEN",
    "enablingConditions": [
      {
        "paramName": "action",
        "paramValue": "events",
        "type": "EQUALS"
      }
    ],
    "subParams": [
      {
        "type": "RADIO",
        "name": "eventNameMode",
        "displayName": "Event Name Setup Method",
        "simpleValueType": true,
        "help": "Inherited names become Meta's (purchase: Purchase, and so on); names that are not known stay as they are.",
        "defaultValue": "inherit",
        "radioItems": [
          {
            "value": "inherit",
            "displayValue": "Inherit from client"
          },
          {
            "value": "standard",
            "displayValue": "Standard",
            "subParams": [
              {
                "type": "SELECT",
                "name": "eventNameStandard",
                "displayName": "Event Name",
                "macrosInSelect": false,
                "simpleValueType": true,
                "help": "One of Meta's standard events, or AppendValue, which adds to an event that Meta already has.",
                "valueValidators": [
                  {
                    "type": "NON_EMPTY"
                  }
                ],
                "selectItems": [
                  {
                    "value": "PageView",
                    "displayValue": "PageView"
                  },
                  {
                    "value": "AddPaymentInfo",
                    "displayValue": "AddPaymentInfo"
                  },
                  {
                    "value": "AddToCart",
                    "displayValue": "AddToCart"
                  },
                  {
                    "value": "AddToWishlist",
                    "displayValue": "AddToWishlist"
                  },
                  {
                    "value": "CompleteRegistration",
                    "displayValue": "CompleteRegistration"
                  },
                  {
                    "value": "Contact",
                    "displayValue": "Contact"
                  },
                  {
                    "value": "CustomizeProduct",
                    "displayValue": "CustomizeProduct"
                  },
                  {
                    "value": "Donate",
                    "displayValue": "Donate"
                  },
                  {
                    "value": "FindLocation",
                    "displayValue": "FindLocation"
                  },
                  {
                    "value": "InitiateCheckout",
                    "displayValue": "InitiateCheckout"
                  },
                  {
                    "value": "Lead",
                    "displayValue": "Lead"
                  },
                  {
                    "value": "Purchase",
                    "displayValue": "Purchase"
                  },
                  {
                    "value": "Schedule",
                    "displayValue": "Schedule"
                  },
                  {
                    "value": "Search",
                    "displayValue": "Search"
                  },
                  {
                    "value": "StartTrial",
                    "displayValue": "StartTrial"
                  },
                  {
                    "value": "SubmitApplication",
                    "displayValue": "SubmitApplication"
                  },
                  {
                    "value": "Subscribe",
                    "displayValue": "Subscribe"
                  },
                  {
                    "value": "ViewContent",
                    "displayValue": "ViewContent"
                  },
                  {
                    "value": "AppendValue",
                    "displayValue": "AppendValue"
                  }
                ]
              },
              {
                "type": "SIMPLE_TABLE",
                "name": "originalEventDataList",
                "displayName": "Original Event Data",
                "newRowButtonText": "Add Property",
                "help": "Which event the value is added to.",
                "enablingConditions": [
                  {
                    "paramName": "eventNameStandard",
                    "paramValue": "AppendValue",
                    "type": "EQUALS"
                  }
                ],
                "simpleTableColumns": [
                  {
                    "type": "SELECT",
                    "name": "name",
                    "displayName": "Property Name",
                    "defaultValue": "",
                    "isUnique": true,
                    "valueValidators": [
                      {
                        "type": "NON_EMPTY"
                      }
                    ],
                    "selectItems": [
                      {
                        "value": "event_name",
                        "displayValue": "Event Name"
                      },
                      {
                        "value": "event_time",
                        "displayValue": "Event Time"
                      },
                      {
                        "value": "order_id",
                        "displayValue": "Order ID"
                      },
                      {
                        "value": "event_id",
                        "displayValue": "Event ID"
                      }
                    ]
                  },
                  {
                    "type": "TEXT",
                    "name": "value",
                    "displayName": "Property Value",
                    "defaultValue": "",
                    "valueHint": "{{Event ID}}",
                    "valueValidators": [
                      {
                        "type": "NON_EMPTY"
                      }
                    ]
                  }
                ]
              }
            ]
          },
          {
            "value": "custom",
            "displayValue": "Custom",
            "subParams": [
              {
                "type": "TEXT",
                "name": "eventNameCustom",
                "displayName": "Event Name",
                "simpleValueType": true,
                "help": "Any name; it stays exactly as written.",
                "valueHint": "Newsletter",
                "valueValidators": [
                  {
                    "type": "NON_EMPTY"
                  }
                ]
              }
            ]
          }
        ]
      },
      {
        "type": "SELECT",
        "name": "actionSource",
        "displayName": "Action Source",
        "macrosInSelect": true,
        "simpleValueType": true,
        "help": "Where the event happened. From the event: its own action_source, else website.",
        "defaultValue": "inherit",
        "valueValidators": [
          {
            "type": "NON_EMPTY"
          }
        ],
        "selectItems": [
          {
            "value": "inherit",
            "displayValue": "From the event"
          },
          {
            "value": "website",
            "displayValue": "Website"
          },
          {
            "value": "email",
            "displayValue": "Email"
          },
          {
            "value": "app",
            "displayValue": "App"
          },
          {
            "value": "phone_call",
            "displayValue": "Phone Call"
          },
          {
            "value": "chat",
            "displayValue": "Chat"
          },
          {
            "value": "physical_store",
            "displayValue": "Physical Store"
          },
          {
            "value": "system_generated",
            "displayValue": "System Generated"
          },
          {
            "value": "business_messaging",
            "displayValue": "Business Messaging"
          },
          {
            "value": "other",
            "displayValue": "Other"
          }
        ]
      },
      {
        "type": "SELECT",
        "name": "messagingChannel",
        "displayName": "Messaging Channel",
        "macrosInSelect": false,
        "simpleValueType": true,
        "help": "Where the conversation took place.",
        "defaultValue": "messenger",
        "enablingConditions": [
          {
            "paramName": "actionSource",
            "paramValue": "business_messaging",
            "type": "EQUALS"
          }
        ],
        "valueValidators": [
          {
            "type": "NON_EMPTY"
          }
        ],
        "selectItems": [
          {
            "value": "messenger",
            "displayValue": "Messenger"
          },
          {
            "value": "whatsapp",
            "displayValue": "WhatsApp"
          },
          {
            "value": "instagram",
            "displayValue": "Instagram"
          }
        ]
      },
      {
        "type": "CHECKBOX",
        "name": "autoMapEventData",
        "checkboxText": "Map event data automatically",
        "simpleValueType": true,
        "help": "On: the relay gets the whole event and finds person, products and values in it. Off: it gets what makes an event (name, id, time, page, browser, consent), and of the person and the matter only what is set below.",
        "defaultValue": true
      },
      {
        "type": "SIMPLE_TABLE",
        "name": "serverEventDataList",
        "displayName": "Server Event Data Override",
        "newRowButtonText": "Add Property",
        "help": "Wins over what the event states. A variable that holds nothing changes nothing.",
        "simpleTableColumns": [
          {
            "type": "SELECT",
            "name": "name",
            "displayName": "Property Name",
            "defaultValue": "",
            "isUnique": true,
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              }
            ],
            "selectItems": [
              {
                "value": "event_id",
                "displayValue": "Event ID"
              },
              {
                "value": "event_time",
                "displayValue": "Event Time"
              },
              {
                "value": "event_source_url",
                "displayValue": "Event Source URL"
              },
              {
                "value": "referrer_url",
                "displayValue": "Referrer URL"
              },
              {
                "value": "opt_out",
                "displayValue": "Opt Out"
              }
            ]
          },
          {
            "type": "TEXT",
            "name": "value",
            "displayName": "Property Value",
            "defaultValue": "",
            "valueHint": "{{Event ID}}",
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              }
            ]
          }
        ]
      },
      {
        "type": "GROUP",
        "name": "userDataGroup",
        "displayName": "User Data",
        "groupStyle": "ZIPPY_CLOSED",
        "subParams": [
          {
            "type": "TEXT",
            "name": "userDataObject",
            "displayName": "User Data Object",
            "simpleValueType": true,
            "help": "A variable that holds an object, or JSON, with Meta's keys (em, ph, fn and so on); clear text or hashed. Table before object before event.",
            "valueHint": "{{User Data}}",
            "valueValidators": [
              {
                "type": "REGEX",
                "args": [
                  "^(\\s*\\{[\\s\\S]*)?$"
                ],
                "errorMessage": "A variable or a JSON object"
              }
            ]
          },
          {
            "type": "SIMPLE_TABLE",
            "name": "userDataList",
            "displayName": "User Data",
            "newRowButtonText": "Add Property",
            "help": "Values are brought to their normal form and hashed by the relay, hashed ones pass. A variable may hold a list.",
            "simpleTableColumns": [
              {
                "type": "SELECT",
                "name": "name",
                "displayName": "Property Name",
                "defaultValue": "",
                "isUnique": true,
                "valueValidators": [
                  {
                    "type": "NON_EMPTY"
                  }
                ],
                "selectItems": [
                  {
                    "value": "em",
                    "displayValue": "Email"
                  },
                  {
                    "value": "ph",
                    "displayValue": "Phone"
                  },
                  {
                    "value": "fn",
                    "displayValue": "First Name"
                  },
                  {
                    "value": "ln",
                    "displayValue": "Last Name"
                  },
                  {
                    "value": "ge",
                    "displayValue": "Gender"
                  },
                  {
                    "value": "db",
                    "displayValue": "Date of Birth"
                  },
                  {
                    "value": "ct",
                    "displayValue": "City"
                  },
                  {
                    "value": "st",
                    "displayValue": "State"
                  },
                  {
                    "value": "zp",
                    "displayValue": "ZIP/Postal Code"
                  },
                  {
                    "value": "country",
                    "displayValue": "Country"
                  },
                  {
                    "value": "external_id",
                    "displayValue": "External ID"
                  },
                  {
                    "value": "client_ip_address",
                    "displayValue": "Client IP Address"
                  },
                  {
                    "value": "client_user_agent",
                    "displayValue": "Client User Agent"
                  },
                  {
                    "value": "fbc",
                    "displayValue": "Click ID (fbc)"
                  },
                  {
                    "value": "fbp",
                    "displayValue": "Browser ID (fbp)"
                  },
                  {
                    "value": "subscription_id",
                    "displayValue": "Subscription ID"
                  },
                  {
                    "value": "lead_id",
                    "displayValue": "Lead ID"
                  },
                  {
                    "value": "fb_login_id",
                    "displayValue": "Facebook Login ID"
                  },
                  {
                    "value": "anon_id",
                    "displayValue": "Install ID (anon_id)"
                  },
                  {
                    "value": "madid",
                    "displayValue": "Mobile Advertiser ID (IDFA/GAID)"
                  },
                  {
                    "value": "page_id",
                    "displayValue": "Page ID"
                  },
                  {
                    "value": "page_scoped_user_id",
                    "displayValue": "Page-scoped User ID"
                  },
                  {
                    "value": "ctwa_clid",
                    "displayValue": "Click to WhatsApp ID"
                  },
                  {
                    "value": "ig_account_id",
                    "displayValue": "Instagram Account ID"
                  },
                  {
                    "value": "ig_sid",
                    "displayValue": "Instagram-scoped ID"
                  }
                ]
              },
              {
                "type": "TEXT",
                "name": "value",
                "displayName": "Property Value",
                "defaultValue": "",
                "valueHint": "{{Email}}",
                "valueValidators": [
                  {
                    "type": "NON_EMPTY"
                  }
                ]
              }
            ]
          }
        ]
      },
      {
        "type": "GROUP",
        "name": "customDataGroup",
        "displayName": "Custom Data",
        "groupStyle": "ZIPPY_CLOSED",
        "subParams": [
          {
            "type": "TEXT",
            "name": "customDataObject",
            "displayName": "Custom Data Object",
            "simpleValueType": true,
            "help": "A variable that holds an object, or JSON, with Meta's keys (value, currency, contents and so on) or free ones. Table before object before event.",
            "valueHint": "{{Custom Data}}",
            "valueValidators": [
              {
                "type": "REGEX",
                "args": [
                  "^(\\s*\\{[\\s\\S]*)?$"
                ],
                "errorMessage": "A variable or a JSON object"
              }
            ]
          },
          {
            "type": "SIMPLE_TABLE",
            "name": "customDataList",
            "displayName": "Custom Data",
            "newRowButtonText": "Add Property",
            "help": "value, currency, order_id, content_name, content_category, content_type, content_ids, contents, num_items, search_string, status, predicted_ltv, delivery_category, or a name of your own. What looks like a person's address or number never leaves in it.",
            "simpleTableColumns": [
              {
                "type": "TEXT",
                "name": "name",
                "displayName": "Property Name",
                "defaultValue": "",
                "isUnique": true,
                "valueHint": "value",
                "valueValidators": [
                  {
                    "type": "NON_EMPTY"
                  }
                ]
              },
              {
                "type": "TEXT",
                "name": "value",
                "displayName": "Property Value",
                "defaultValue": "",
                "valueHint": "{{Order Value}}",
                "valueValidators": [
                  {
                    "type": "NON_EMPTY"
                  }
                ]
              }
            ]
          }
        ]
      },
      {
        "type": "GROUP",
        "name": "appDataGroup",
        "displayName": "App Data",
        "groupStyle": "ZIPPY_CLOSED",
        "enablingConditions": [
          {
            "paramName": "actionSource",
            "paramValue": "app",
            "type": "EQUALS"
          }
        ],
        "subParams": [
          {
            "type": "TEXT",
            "name": "appDataObject",
            "displayName": "App Data Object",
            "simpleValueType": true,
            "help": "A variable that holds an object, or JSON, with Meta's keys of app_data.",
            "valueHint": "{{App Data}}",
            "valueValidators": [
              {
                "type": "REGEX",
                "args": [
                  "^(\\s*\\{[\\s\\S]*)?$"
                ],
                "errorMessage": "A variable or a JSON object"
              }
            ]
          },
          {
            "type": "SIMPLE_TABLE",
            "name": "appDataList",
            "displayName": "App Data",
            "newRowButtonText": "Add Property",
            "help": "The two switches, and what the device is; extinfo is built from the event where it is not given.",
            "simpleTableColumns": [
              {
                "type": "SELECT",
                "name": "name",
                "displayName": "Property Name",
                "defaultValue": "",
                "isUnique": true,
                "valueValidators": [
                  {
                    "type": "NON_EMPTY"
                  }
                ],
                "selectItems": [
                  {
                    "value": "advertiser_tracking_enabled",
                    "displayValue": "Advertiser Tracking Enabled"
                  },
                  {
                    "value": "application_tracking_enabled",
                    "displayValue": "Application Tracking Enabled"
                  },
                  {
                    "value": "extinfo",
                    "displayValue": "Extinfo"
                  },
                  {
                    "value": "campaign_ids",
                    "displayValue": "Campaign IDs"
                  },
                  {
                    "value": "install_referrer",
                    "displayValue": "Install Referrer"
                  },
                  {
                    "value": "installer_package",
                    "displayValue": "Installer Package"
                  },
                  {
                    "value": "url_schemes",
                    "displayValue": "URL Schemes"
                  },
                  {
                    "value": "vendor_id",
                    "displayValue": "Vendor ID"
                  },
                  {
                    "value": "windows_attribution_id",
                    "displayValue": "Windows Attribution ID"
                  }
                ]
              },
              {
                "type": "TEXT",
                "name": "value",
                "displayName": "Property Value",
                "defaultValue": "",
                "valueHint": "{{App Property}}",
                "valueValidators": [
                  {
                    "type": "NON_EMPTY"
                  }
                ]
              }
            ]
          }
        ]
      },
      {
        "type": "GROUP",
        "name": "productsGroup",
        "displayName": "Products",
        "groupStyle": "ZIPPY_CLOSED",
        "subParams": [
          {
            "type": "RADIO",
            "name": "productSchema",
            "displayName": "Product Schema",
            "simpleValueType": true,
            "help": "How the event writes its products. contents, content_ids and num_items are made of them.",
            "defaultValue": "ga4",
            "radioItems": [
              {
                "value": "ga4",
                "displayValue": "GA4: items with item_id, quantity, price"
              },
              {
                "value": "omni",
                "displayValue": "Omni: items with id, quantity, price"
              },
              {
                "value": "custom",
                "displayValue": "Custom",
                "subParams": [
                  {
                    "type": "TEXT",
                    "name": "productArray",
                    "displayName": "Product Array",
                    "simpleValueType": true,
                    "help": "The key of the list; a dot between the keys of nested objects.",
                    "valueHint": "items",
                    "valueValidators": [
                      {
                        "type": "REGEX",
                        "args": [
                          "^[^\\s]*$"
                        ]
                      }
                    ]
                  },
                  {
                    "type": "TEXT",
                    "name": "productId",
                    "displayName": "Content ID Key",
                    "simpleValueType": true,
                    "help": "The key of a product's id.",
                    "valueHint": "id",
                    "valueValidators": [
                      {
                        "type": "REGEX",
                        "args": [
                          "^[^\\s]*$"
                        ]
                      }
                    ]
                  },
                  {
                    "type": "TEXT",
                    "name": "productQuantity",
                    "displayName": "Quantity Key",
                    "simpleValueType": true,
                    "help": "The key of its quantity.",
                    "valueHint": "quantity",
                    "valueValidators": [
                      {
                        "type": "REGEX",
                        "args": [
                          "^[^\\s]*$"
                        ]
                      }
                    ]
                  },
                  {
                    "type": "TEXT",
                    "name": "productPrice",
                    "displayName": "Price Key",
                    "simpleValueType": true,
                    "help": "The key of the price of one piece.",
                    "valueHint": "price",
                    "valueValidators": [
                      {
                        "type": "REGEX",
                        "args": [
                          "^[^\\s]*$"
                        ]
                      }
                    ]
                  }
                ]
              }
            ]
          }
        ]
      },
      {
        "type": "GROUP",
        "name": "cookiesGroup",
        "displayName": "Cookies",
        "groupStyle": "ZIPPY_CLOSED",
        "subParams": [
          {
            "type": "SELECT",
            "name": "cookieUse",
            "displayName": "_fbp, _fbc, _gtmeec",
            "macrosInSelect": false,
            "simpleValueType": true,
            "help": "Read and set: the relay answers with the cookies that the browser lacks (over HTTP; over Pub/Sub they can only be read). _gtmeec remembers hashed identifiers for later events where the relay has a key to sign it.",
            "defaultValue": "set",
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              }
            ],
            "selectItems": [
              {
                "value": "set",
                "displayValue": "Read and set"
              },
              {
                "value": "read",
                "displayValue": "Read only"
              },
              {
                "value": "none",
                "displayValue": "Leave alone"
              }
            ]
          },
          {
            "type": "GROUP",
            "name": "cookieSettingsGroup",
            "groupStyle": "NO_ZIPPY",
            "enablingConditions": [
              {
                "paramName": "cookieUse",
                "paramValue": "set",
                "type": "EQUALS"
              }
            ],
            "subParams": [
              {
                "type": "CHECKBOX",
                "name": "useHttpOnlyCookie",
                "checkboxText": "Use HttpOnly cookies",
                "simpleValueType": true,
                "help": "Hides _fbp and _fbc from JavaScript, Meta's pixel among it; _gtmeec is always hidden."
              },
              {
                "type": "TEXT",
                "name": "cookieDomain",
                "displayName": "Cookie Domain",
                "simpleValueType": true,
                "help": "Empty or auto: the highest domain that the browser allows.",
                "defaultValue": "auto",
                "valueHint": "auto",
                "valueValidators": [
                  {
                    "type": "REGEX",
                    "args": [
                      "^[A-Za-z0-9.-]*$"
                    ],
                    "errorMessage": "A domain, or auto"
                  }
                ]
              }
            ]
          }
        ]
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "audienceMembersGroup",
    "displayName": "Audience Members",
    "groupStyle": "ZIPPY_OPEN",
    "enablingConditions": [
      {
        "paramName": "action",
        "paramValue": "events",
        "type": "NOT_EQUALS"
      }
    ],
    "subParams": [
      {
        "type": "SELECT",
        "name": "userMode",
        "displayName": "User Mode",
        "macrosInSelect": false,
        "simpleValueType": true,
        "help": "One person by table, a list of people, or whoever the event itself names (not for segments).",
        "defaultValue": "single",
        "valueValidators": [
          {
            "type": "NON_EMPTY"
          }
        ],
        "selectItems": [
          {
            "value": "single",
            "displayValue": "Single User"
          },
          {
            "value": "multiple",
            "displayValue": "Multiple Users"
          },
          {
            "value": "event",
            "displayValue": "User of the event"
          }
        ]
      },
      {
        "type": "GROUP",
        "name": "singleUserGroup",
        "groupStyle": "NO_ZIPPY",
        "enablingConditions": [
          {
            "paramName": "userMode",
            "paramValue": "single",
            "type": "EQUALS"
          }
        ],
        "subParams": [
          {
            "type": "SIMPLE_TABLE",
            "name": "singleUserIdentifiersList",
            "displayName": "Single User Identifiers",
            "newRowButtonText": "Add Identifier",
            "help": "A value, or a variable that holds one or a list of them. Clear text or hashed; the relay brings it to its normal form and hashes what Meta wants hashed.",
            "enablingConditions": [
              {
                "paramName": "action",
                "paramValue": "add",
                "type": "EQUALS"
              },
              {
                "paramName": "action",
                "paramValue": "remove",
                "type": "EQUALS"
              },
              {
                "paramName": "action",
                "paramValue": "remove_from_all",
                "type": "EQUALS"
              }
            ],
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              }
            ],
            "simpleTableColumns": [
              {
                "type": "SELECT",
                "name": "name",
                "displayName": "Identifier",
                "defaultValue": "",
                "isUnique": true,
                "valueValidators": [
                  {
                    "type": "NON_EMPTY"
                  }
                ],
                "selectItems": [
                  {
                    "value": "EMAIL",
                    "displayValue": "Email"
                  },
                  {
                    "value": "PHONE",
                    "displayValue": "Phone"
                  },
                  {
                    "value": "FN",
                    "displayValue": "First Name"
                  },
                  {
                    "value": "LN",
                    "displayValue": "Last Name"
                  },
                  {
                    "value": "FI",
                    "displayValue": "First Name Initial"
                  },
                  {
                    "value": "CT",
                    "displayValue": "City"
                  },
                  {
                    "value": "ST",
                    "displayValue": "State"
                  },
                  {
                    "value": "ZIP",
                    "displayValue": "ZIP/Postal Code"
                  },
                  {
                    "value": "COUNTRY",
                    "displayValue": "Country"
                  },
                  {
                    "value": "GEN",
                    "displayValue": "Gender"
                  },
                  {
                    "value": "DOB",
                    "displayValue": "Date of Birth"
                  },
                  {
                    "value": "DOBY",
                    "displayValue": "Birth Year"
                  },
                  {
                    "value": "DOBM",
                    "displayValue": "Birth Month"
                  },
                  {
                    "value": "DOBD",
                    "displayValue": "Birth Day"
                  },
                  {
                    "value": "MADID",
                    "displayValue": "Mobile Advertiser ID (IDFA/GAID)"
                  },
                  {
                    "value": "EXTERN_ID",
                    "displayValue": "External ID"
                  },
                  {
                    "value": "PAGEUID",
                    "displayValue": "Page-scoped User ID"
                  },
                  {
                    "value": "APPUID",
                    "displayValue": "App-scoped User ID"
                  },
                  {
                    "value": "UID",
                    "displayValue": "User ID of an app"
                  },
                  {
                    "value": "LOOKALIKE_VALUE",
                    "displayValue": "Value (for value-based audiences)"
                  }
                ]
              },
              {
                "type": "TEXT",
                "name": "value",
                "displayName": "Value",
                "defaultValue": "",
                "valueHint": "{{Email}}",
                "valueValidators": [
                  {
                    "type": "NON_EMPTY"
                  }
                ]
              }
            ]
          },
          {
            "type": "SIMPLE_TABLE",
            "name": "segmentPropertiesList",
            "displayName": "User Properties",
            "newRowButtonText": "Add Property",
            "help": "In the words of the relay's segment mapping; by default a CDP's: id, email, hashed_email, phone, firstname, lastname, city, state, zipcode, country, gender, birthdate.",
            "enablingConditions": [
              {
                "paramName": "action",
                "paramValue": "enter",
                "type": "EQUALS"
              },
              {
                "paramName": "action",
                "paramValue": "leave",
                "type": "EQUALS"
              }
            ],
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              }
            ],
            "simpleTableColumns": [
              {
                "type": "TEXT",
                "name": "name",
                "displayName": "Property",
                "defaultValue": "",
                "isUnique": true,
                "valueHint": "email",
                "valueValidators": [
                  {
                    "type": "NON_EMPTY"
                  }
                ]
              },
              {
                "type": "TEXT",
                "name": "value",
                "displayName": "Value",
                "defaultValue": "",
                "valueHint": "{{Email}}",
                "valueValidators": [
                  {
                    "type": "NON_EMPTY"
                  }
                ]
              }
            ]
          }
        ]
      },
      {
        "type": "GROUP",
        "name": "multipleUsersGroup",
        "groupStyle": "NO_ZIPPY",
        "enablingConditions": [
          {
            "paramName": "userMode",
            "paramValue": "multiple",
            "type": "EQUALS"
          }
        ],
        "subParams": [
          {
            "type": "TEXT",
            "name": "multipleUsersSchema",
            "displayName": "Identifiers Schema",
            "simpleValueType": true,
            "help": "The keys of the rows, with commas between, or a variable that holds a list. A key stands once for each of its values. Empty where each person is an object with these keys.",
            "valueHint": "EMAIL, PHONE, FN",
            "valueValidators": [
              {
                "type": "REGEX",
                "args": [
                  "^[^;]*$"
                ],
                "errorMessage": "Keys with commas between"
              }
            ]
          },
          {
            "type": "TEXT",
            "name": "multipleUsersAudienceMembers",
            "displayName": "Audience Members",
            "simpleValueType": true,
            "help": "A variable that holds a list of rows or of objects, or the list as JSON. More than 10,000 are sent in batches.",
            "valueHint": "{{Audience Members}}",
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              }
            ]
          }
        ]
      },
      {
        "type": "GROUP",
        "name": "scopedIdsGroup",
        "displayName": "Page-scoped and app-scoped ids",
        "groupStyle": "ZIPPY_CLOSED",
        "enablingConditions": [
          {
            "paramName": "action",
            "paramValue": "add",
            "type": "EQUALS"
          },
          {
            "paramName": "action",
            "paramValue": "remove",
            "type": "EQUALS"
          },
          {
            "paramName": "action",
            "paramValue": "remove_from_all",
            "type": "EQUALS"
          }
        ],
        "subParams": [
          {
            "type": "TEXT",
            "name": "pageIds",
            "displayName": "Page IDs",
            "simpleValueType": true,
            "help": "The pages to which PAGEUID belongs, with commas between.",
            "valueHint": "1234567890",
            "valueValidators": [
              {
                "type": "REGEX",
                "args": [
                  "^[0-9, ]*$"
                ],
                "errorMessage": "Ids with commas between"
              }
            ]
          },
          {
            "type": "TEXT",
            "name": "appIds",
            "displayName": "App IDs",
            "simpleValueType": true,
            "help": "The apps that have collected UID, with commas between.",
            "valueHint": "1234567890",
            "valueValidators": [
              {
                "type": "REGEX",
                "args": [
                  "^[0-9, ]*$"
                ],
                "errorMessage": "Ids with commas between"
              }
            ]
          }
        ]
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "identityGroup",
    "displayName": "Identity",
    "groupStyle": "ZIPPY_CLOSED",
    "enablingConditions": [
      {
        "paramName": "action",
        "paramValue": "events",
        "type": "EQUALS"
      },
      {
        "paramName": "userMode",
        "paramValue": "event",
        "type": "EQUALS"
      }
    ],
    "subParams": [
      {
        "type": "SELECT",
        "name": "identityMode",
        "displayName": "Recognise people",
        "macrosInSelect": false,
        "simpleValueType": true,
        "help": "Whether the relay adds what it, or the identity service of its configuration, knows of the event's person. If that fails, the event goes as it is.",
        "defaultValue": "configured",
        "valueValidators": [
          {
            "type": "NON_EMPTY"
          }
        ],
        "selectItems": [
          {
            "value": "configured",
            "displayValue": "As the relay is configured"
          },
          {
            "value": "enabled",
            "displayValue": "Yes"
          },
          {
            "value": "disabled",
            "displayValue": "No"
          }
        ]
      },
      {
        "type": "TEXT",
        "name": "anonymousId",
        "displayName": "Anonymous ID",
        "simpleValueType": true,
        "help": "By which the browser is known. Empty: the relay finds it in the event.",
        "valueHint": "{{Client ID}}",
        "enablingConditions": [
          {
            "paramName": "identityMode",
            "paramValue": "disabled",
            "type": "NOT_EQUALS"
          }
        ],
        "valueValidators": [
          {
            "type": "REGEX",
            "args": [
              "^.{0,256}$"
            ],
            "errorMessage": "At most 256 characters"
          }
        ]
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "dataProcessingGroup",
    "displayName": "Data Processing Options",
    "groupStyle": "ZIPPY_CLOSED",
    "subParams": [
      {
        "type": "SELECT",
        "name": "enableDataProcessingOptions",
        "displayName": "Enable Limited Data Use",
        "macrosInSelect": true,
        "simpleValueType": true,
        "help": "For events and for all rows of an audience. A US privacy or GPP string in the event that opts out of sale switches it on by itself.",
        "defaultValue": false,
        "selectItems": [
          {
            "value": false,
            "displayValue": "false"
          },
          {
            "value": true,
            "displayValue": "true"
          }
        ]
      },
      {
        "type": "GROUP",
        "name": "dataProcessingPlaceGroup",
        "groupStyle": "NO_ZIPPY",
        "enablingConditions": [
          {
            "paramName": "enableDataProcessingOptions",
            "paramValue": false,
            "type": "NOT_EQUALS"
          }
        ],
        "subParams": [
          {
            "type": "TEXT",
            "name": "dataProcessingCountry",
            "displayName": "Country",
            "simpleValueType": true,
            "help": "Meta's number or a name. Empty or 0: Meta finds out.",
            "valueHint": "US",
            "valueValidators": [
              {
                "type": "REGEX",
                "args": [
                  "^[A-Za-z0-9 .]*$"
                ]
              }
            ]
          },
          {
            "type": "TEXT",
            "name": "dataProcessingState",
            "displayName": "State",
            "simpleValueType": true,
            "help": "Meta's number, a code or a name. Empty or 0: Meta finds out.",
            "valueHint": "CA",
            "valueValidators": [
              {
                "type": "REGEX",
                "args": [
                  "^[A-Za-z0-9 .]*$"
                ]
              }
            ]
          }
        ]
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "consentGroup",
    "displayName": "Consent",
    "groupStyle": "ZIPPY_CLOSED",
    "subParams": [
      {
        "type": "RADIO",
        "name": "consentMode",
        "displayName": "Required signals",
        "simpleValueType": true,
        "help": "The relay reads consent_state, x-ga-gcd and x-ga-gcs of the event. Denied or missing: nothing is sent, and the tag succeeds. Removing needs no consent.",
        "defaultValue": "configured",
        "radioItems": [
          {
            "value": "configured",
            "displayValue": "As the relay is configured"
          },
          {
            "value": "required",
            "displayValue": "These",
            "subParams": [
              {
                "type": "CHECKBOX",
                "name": "requireAdStorage",
                "checkboxText": "ad_storage",
                "simpleValueType": true,
                "help": "Storage for advertising.",
                "defaultValue": true
              },
              {
                "type": "CHECKBOX",
                "name": "requireAdUserData",
                "checkboxText": "ad_user_data",
                "simpleValueType": true,
                "help": "Sending user data for advertising.",
                "defaultValue": true
              },
              {
                "type": "CHECKBOX",
                "name": "requireAdPersonalization",
                "checkboxText": "ad_personalization",
                "simpleValueType": true,
                "help": "Personalised advertising; the relay asks for it by default where people join audiences.",
                "defaultValue": true
              }
            ]
          },
          {
            "value": "none",
            "displayValue": "None",
            "help": "Needs a caller that may lower consent (may_lower_consent)."
          }
        ]
      },
      {
        "type": "SIMPLE_TABLE",
        "name": "consentStateList",
        "displayName": "Consent State",
        "newRowButtonText": "Add Signal",
        "help": "Where the event itself says nothing. granted, true or 1 grant; anything else denies. If event and table differ, the denial counts.",
        "simpleTableColumns": [
          {
            "type": "SELECT",
            "name": "name",
            "displayName": "Signal",
            "defaultValue": "",
            "isUnique": true,
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              }
            ],
            "selectItems": [
              {
                "value": "ad_storage",
                "displayValue": "ad_storage"
              },
              {
                "value": "ad_user_data",
                "displayValue": "ad_user_data"
              },
              {
                "value": "ad_personalization",
                "displayValue": "ad_personalization"
              }
            ]
          },
          {
            "type": "TEXT",
            "name": "value",
            "displayName": "Value",
            "defaultValue": "",
            "valueHint": "{{Consent}}",
            "valueValidators": [
              {
                "type": "NON_EMPTY"
              }
            ]
          }
        ]
      },
      {
        "type": "CHECKBOX",
        "name": "removeOnDenied",
        "checkboxText": "Remove people who have withdrawn their consent",
        "simpleValueType": true,
        "help": "Where a required signal is denied, the person is removed from the audience in place of being added.",
        "enablingConditions": [
          {
            "paramName": "action",
            "paramValue": "add",
            "type": "EQUALS"
          }
        ]
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "testingGroup",
    "displayName": "Testing",
    "groupStyle": "ZIPPY_CLOSED",
    "subParams": [
      {
        "type": "TEXT",
        "name": "testEventCode",
        "displayName": "Test ID",
        "simpleValueType": true,
        "help": "From Test Events in Events Manager; goes to all datasets. Empty it before publishing.",
        "valueHint": "TEST12345",
        "enablingConditions": [
          {
            "paramName": "action",
            "paramValue": "events",
            "type": "EQUALS"
          }
        ],
        "valueValidators": [
          {
            "type": "REGEX",
            "args": [
              "^[A-Za-z0-9_]{0,64}$"
            ],
            "errorMessage": "Letters, digits and _"
          }
        ]
      },
      {
        "type": "CHECKBOX",
        "name": "dryRun",
        "checkboxText": "Dry run: send nothing to Meta",
        "simpleValueType": true,
        "help": "The answer, which the preview shows as the response body, holds the exact calls that would be made, and every reject."
      },
      {
        "type": "CHECKBOX",
        "name": "debug",
        "checkboxText": "Show Meta's answers",
        "simpleValueType": true,
        "help": "Sends, and adds the calls and Meta's answers to the relay's answer and log, hashes shortened."
      }
    ]
  },
  {
    "type": "GROUP",
    "name": "logsGroup",
    "displayName": "Logs Settings",
    "groupStyle": "ZIPPY_CLOSED",
    "subParams": [
      {
        "type": "RADIO",
        "name": "logType",
        "displayName": "Console log",
        "simpleValueType": true,
        "help": "One line for each request, without identifiers: outcome, rejects by field and reason, warnings, and what to do. BigQuery has its row from the relay.",
        "defaultValue": "debug",
        "radioItems": [
          {
            "value": "no",
            "displayValue": "Do not log"
          },
          {
            "value": "debug",
            "displayValue": "Log to console during debug and preview"
          },
          {
            "value": "always",
            "displayValue": "Always log to console"
          }
        ]
      }
    ]
  }
]


___SANDBOXED_JS_FOR_SERVER___

/*
 * Meta Relay: hands an event, or the people of an audience or a segment, to the relay, which does the rest: consent,
 * normal forms, hashes, tokens, retries. Nothing of that is done here, so that it is done in one place.
 *
 * The bodies are those of the relay's contract, the same over Pub/Sub and over HTTP. A field that the form hides may
 * still hold what was once written into it, so each is read only where its choice is made.
 */
const JSON = require('JSON');
const Math = require('Math');
const Object = require('Object');
const getAllEventData = require('getAllEventData');
const getContainerVersion = require('getContainerVersion');
const getCookieValues = require('getCookieValues');
const getGoogleAuth = require('getGoogleAuth');
const getRequestHeader = require('getRequestHeader');
const getTimestampMillis = require('getTimestampMillis');
const getType = require('getType');
const hmacSha256 = require('hmacSha256');
const logToConsole = require('logToConsole');
const makeNumber = require('makeNumber');
const makeString = require('makeString');
const sendHttpRequest = require('sendHttpRequest');
const setCookie = require('setCookie');
const toBase64 = require('toBase64');

// What can be sent -> the relay's path, which is also the type of a message.
const KINDS = {
  events: 'events',
  add: 'audiences',
  remove: 'audiences',
  remove_from_all: 'audiences',
  enter: 'segments',
  leave: 'segments'
};
const BODIES = { events: eventBody, audiences: audienceBody, segments: segmentBody };

// What the relay reads to decide whether people may be sent, and under which law.
const CONSENT_KEYS = [
  'consent_state', 'x-ga-gcs', 'x-ga-gcd', 'page_location', 'us_privacy', 'usprivacy', 'us_privacy_string', 'gpp',
  'gpp_string'
];
// What makes an event, without the person and without what it is about.
const EVENT_KEYS = CONSENT_KEYS.concat([
  'event_name', 'event_id', 'timestamp', 'event_time', 'action_source', 'page_referrer', 'user_agent', 'ip_override',
  'x-sst-system_properties', 'test_event_code'
]);
// The boxes of the form -> the signals of Google's consent mode.
const SIGNALS = {
  requireAdStorage: 'ad_storage',
  requireAdUserData: 'ad_user_data',
  requireAdPersonalization: 'ad_personalization'
};

const BROWSER_IDS = ['_fbp', '_fbc'];
// _fbi is where Meta's Parameter Builder keeps the address that the browser itself has seen; it is never set here.
const COOKIES_READ = BROWSER_IDS.concat(['_gtmeec', '_fbi']);
const COOKIES_SET = BROWSER_IDS.concat(['_gtmeec']);
const COOKIE_SECONDS = 7776000; // 90 days, as Meta's pixel

const TRACE_HEADERS = ['trace-id', 'traceparent', 'x-cloud-trace-context'];
const LONGEST_TRACE = 128;
// GTM's own monitor calls pages that nobody visits.
const PREVIEW_MONITOR = 'https://gtm-msr.appspot.com/';
// The id of the key in the file that SGTM_CREDENTIALS names; the permission names it too.
const KEY_ID = 'meta-relay';
const PUBSUB = 'https://pubsub.googleapis.com/v1/';
const PUBSUB_SCOPE = 'https://www.googleapis.com/auth/pubsub';
// A promise of the sandbox is given 5 seconds.
const PUBSUB_MS = 3000;
const RELAY_MS = 4000;
const MOST_REJECTS = 5;

const event = getAllEventData();
const kind = KINDS[data.action];
const faults = [];

if (isPreviewMonitor()) {
  return conclude(true, 'Message', { Message: 'Request was not sent.', Reason: "GTM's preview monitor" });
}
const body = BODIES[kind]();
putCommon(body);
if (faults.length > 0) {
  return conclude(false, 'Message', { Message: 'Request was not sent.', Reason: faults.join('; ') });
}
if (overHttp()) {
  sendToRelay(JSON.stringify(body));
} else {
  publish(JSON.stringify(body));
}

// Bodies

function eventBody() {
  const made = { event_data: data.autoMapEventData === false ? picked(EVENT_KEYS) : event };
  put(made, 'destinations', destinations(data.datasetList, ['dataset_id', 'connection', 'test_event_code']));
  put(made, 'event', orNothing(overrides()));
  put(made, 'products', products());
  put(made, 'identity', identity());
  putCookies(made);
  return made;
}

function audienceBody() {
  const made = { action: data.action };
  if (data.action === 'remove_from_all') {
    put(made, 'destinations', destinations(data.adAccountList, ['ad_account_id', 'connection']));
  } else {
    // A value-based audience wants LOOKALIKE_VALUE of those who join it, not of those who leave.
    const columns = ['audience_id', 'connection'].concat(data.action === 'add' ? ['value_based'] : []);
    put(made, 'destinations', destinations(data.audienceList, columns));
    if (!made.destinations) faults.push('audienceList: names no audience');
  }
  put(made, 'page_ids', idsOf(data.pageIds));
  put(made, 'app_ids', idsOf(data.appIds));
  return putPeople(made, data.singleUserIdentifiersList);
}

function segmentBody() {
  // Of two changes of a person the later one counts, in whichever order they arrive.
  const made = { segment: {}, change: data.action, changed_at: getTimestampMillis() };
  if (!isSet(data.segmentId)) faults.push('segmentId: is empty');
  if (data.userMode === 'event') faults.push("userMode: a segment's people are written by table or list");
  put(made.segment, 'id', makeString(data.segmentId));
  put(made.segment, 'name', data.segmentName);
  return putPeople(made, data.segmentPropertiesList);
}

function putCommon(made) {
  put(made, 'connection', data.connection);
  put(made, 'consent', orNothing(consent()));
  put(made, 'data_processing', dataProcessing());
  if (isTrue(data.dryRun)) made.dry_run = true;
  if (isTrue(data.debug)) made.debug = true;
  // What is published waits in Pub/Sub anyway.
  if (overHttp() && isTrue(data.useOptimisticScenario)) made.optimistic = true;
}

function destinations(rows, columns) {
  const found = (rows || []).map((row) => {
    const destination = {};
    columns.forEach((column) => put(destination, column, row[column]));
    return destination;
  });
  return orNothing(found);
}

// Meta's own keys, which win over what the relay finds in the event. Table before object before event, everywhere.
function overrides() {
  const own = tableOf(data.serverEventDataList);
  put(own, 'event_name', eventName());
  put(own, 'test_event_code', data.testEventCode);
  if (data.actionSource !== 'inherit') put(own, 'action_source', data.actionSource);
  if (data.actionSource === 'business_messaging') put(own, 'messaging_channel', data.messagingChannel);
  put(own, 'user_data', merged('userDataObject', data.userDataObject, data.userDataList));
  put(own, 'custom_data', merged('customDataObject', data.customDataObject, data.customDataList));
  if (data.actionSource === 'app') put(own, 'app_data', merged('appDataObject', data.appDataObject, data.appDataList));
  if (own.event_name === 'AppendValue') put(own, 'original_event_data', orNothing(tableOf(data.originalEventDataList)));
  return own;
}

function eventName() {
  if (data.eventNameMode === 'standard') return data.eventNameStandard;
  return data.eventNameMode === 'custom' ? data.eventNameCustom : undefined;
}

function products() {
  // GA4's items are what the relay looks for by itself.
  if (data.productSchema !== 'omni' && data.productSchema !== 'custom') return undefined;
  const schema = { schema: data.productSchema };
  if (data.productSchema === 'custom') {
    put(schema, 'array', data.productArray);
    put(schema, 'id', data.productId);
    put(schema, 'quantity', data.productQuantity);
    put(schema, 'price', data.productPrice);
  }
  return schema;
}

// With `cookies`, even empty, the relay answers with those that the browser lacks: asked for only where they can be set.
function putCookies(made) {
  if (data.cookieUse === 'none') return;
  const found = {};
  COOKIES_READ.forEach((name) => put(found, name, (getCookieValues(name) || [])[0]));
  if (overHttp() && data.cookieUse !== 'read') {
    made.cookies = found;
  } else {
    BROWSER_IDS.forEach((name) => {
      if (!isSet(made.event_data[name])) put(made.event_data, name, found[name]);
    });
  }
}

function putPeople(made, rows) {
  if (data.userMode === 'event') {
    made.user_from_event = true;
    made.event_data = event;
    put(made, 'identity', identity());
    return made;
  }
  // Only what consent is read from: the rest of the event is of no use here.
  put(made, 'event_data', orNothing(picked(CONSENT_KEYS)));
  if (data.userMode === 'multiple') {
    made.users = manyPeople();
  } else {
    made.user = onePerson(rows);
  }
  return made;
}

function onePerson(rows) {
  const person = tableOf(rows);
  // Somebody of whom nothing is known cannot be sent, which is no mistake in the body: the relay is to say so.
  if (!orNothing(person)) (rows || []).forEach((row) => { person[row.name] = null; });
  return person;
}

function manyPeople() {
  const people = parsed(data.multipleUsersAudienceMembers);
  if (getType(people) !== 'array' || people.length === 0) {
    faults.push('multipleUsersAudienceMembers: not a list, or an empty one');
  }
  const schema = parsed(data.multipleUsersSchema);
  return isSet(schema) ? { schema: schema, data: people } : people;
}

// Where nothing is said, the relay recognises people as it is configured to.
function identity() {
  if (data.identityMode === 'disabled') return { enabled: false };
  const asked = {};
  if (data.identityMode === 'enabled') asked.enabled = true;
  if (isSet(data.anonymousId)) asked.anonymous_id = makeString(data.anonymousId);
  return orNothing(asked);
}

function consent() {
  const asked = {};
  put(asked, 'state', orNothing(tableOf(data.consentStateList)));
  if (data.consentMode === 'none') asked.required = [];
  if (data.consentMode === 'required') {
    const required = Object.keys(SIGNALS).filter((name) => isTrue(data[name])).map((name) => SIGNALS[name]);
    // Nothing ticked is no wish for less consent.
    if (required.length > 0) asked.required = required;
  }
  if (data.action === 'add' && isTrue(data.removeOnDenied)) asked.on_denied = 'remove';
  return asked;
}

function dataProcessing() {
  if (!isTrue(data.enableDataProcessingOptions)) return undefined;
  const processing = { options: ['LDU'] };
  put(processing, 'country', data.dataProcessingCountry);
  put(processing, 'state', data.dataProcessingState);
  return processing;
}

// Ways

function overHttp() {
  return data.transport === 'http';
}

function publish(text) {
  const message = { data: toBase64(text), attributes: traced({ type: kind }) };
  const options = {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    authorization: getGoogleAuth({ scopes: [PUBSUB_SCOPE] }),
    timeout: PUBSUB_MS
  };
  sendHttpRequest(PUBSUB + data.topic + ':publish', options, JSON.stringify({ messages: [message] }))
    .then(readPublished, readNothing);
}

function readPublished(response) {
  const isHeld = isSuccess(response.statusCode);
  const answer = answerIn(response.body);
  const facts = { Outcome: isHeld ? 'published' : 'failed', ResponseStatusCode: response.statusCode };
  if (isHeld) put(facts, 'MessageId', (answer.messageIds || [])[0]);
  // Google's word for it (PERMISSION_DENIED, NOT_FOUND), not its sentence.
  else put(facts, 'Reason', (answer.error || {}).status);
  conclude(isHeld, 'Response', facts);
}

function sendToRelay(text) {
  const options = {
    method: 'POST',
    headers: signed(traced({ 'Content-Type': 'application/json' }), text),
    timeout: makeNumber(data.timeout) || RELAY_MS
  };
  sendHttpRequest(withoutSlash(data.relayUrl) + '/' + kind, options, text).then(readRelay, readNothing);
}

function signed(headers, text) {
  if (data.authentication === 'key') {
    headers['X-Relay-Key'] = data.relayKey;
  } else {
    const timestamp = makeString(Math.floor(getTimestampMillis() / 1000));
    headers['X-Relay-Timestamp'] = timestamp;
    headers['X-Relay-Signature'] = hmacSha256(timestamp + '.' + text, KEY_ID, { outputEncoding: 'hex' });
  }
  return headers;
}

function readRelay(response) {
  const answer = answerIn(response.body);
  const results = answer.results || [];
  setCookies(answer.cookies || {});
  // 2xx says that nothing is left to be tried; a destination that got nothing is still a failure to see.
  const lost = results.filter((result) => result.outcome === 'failed' || result.outcome === 'rejected');
  const facts = { Outcome: answer.outcome || 'failed', ResponseStatusCode: response.statusCode };
  put(facts, 'RelayTraceId', answer.trace_id);
  put(facts, 'Results', orNothing(results.map(describeResult)));
  put(facts, 'Rejected', orNothing((answer.rejected || []).slice(0, MOST_REJECTS).map(describeReject)));
  put(facts, 'Warnings', orNothing(answer.warnings || []));
  const errors = [answer.error].concat(results.map((result) => result.error)).filter(isSet).map(describeError);
  put(facts, 'Reason', isSet(answer.outcome) ? errors.join('; ') : 'not an answer of the relay');
  conclude(isSuccess(response.statusCode) && isSet(answer.outcome) && lost.length === 0, 'Response', facts);
}

function readNothing(error) {
  conclude(false, 'Response', { Outcome: 'failed', Reason: 'no answer: ' + ((error || {}).reason || 'failed') });
}

function setCookies(cookies) {
  COOKIES_SET.forEach((name) => {
    if (!isSet(cookies[name])) return;
    const isPrivate = name === '_gtmeec';
    setCookie(name, cookies[name], {
      domain: data.cookieDomain || 'auto',
      path: '/',
      'max-age': COOKIE_SECONDS,
      secure: true,
      sameSite: isPrivate ? 'strict' : 'lax',
      httpOnly: isPrivate || isTrue(data.useHttpOnlyCookie)
    });
  });
}

// The relay reads the same names in headers and in a message's attributes.
function traced(names) {
  TRACE_HEADERS.forEach((name) => {
    const value = getRequestHeader(name);
    if (isSet(value) && value.length <= LONGEST_TRACE) names[name] = value;
  });
  return names;
}

function isPreviewMonitor() {
  return makeString(event.page_location || getRequestHeader('referer')).indexOf(PREVIEW_MONITOR) === 0;
}

// The end

// One line, in the words of Stape's tags, without identifiers: the relay's texts name fields and never values.
function conclude(isDone, type, facts) {
  if (isLogging()) {
    const line = { Name: 'MetaRelay', Type: type, EventName: data.action };
    put(line, 'TraceId', traced({})['trace-id']);
    Object.keys(facts).forEach((name) => put(line, name, facts[name]));
    logToConsole(JSON.stringify(line));
  }
  if (isDone) {
    data.gtmOnSuccess();
  } else {
    data.gtmOnFailure();
  }
}

function isLogging() {
  if (data.logType === 'no' || data.logType === 'always') return data.logType === 'always';
  const version = getContainerVersion() || {};
  return !!(version.debugMode || version.previewMode);
}

function describeResult(result) {
  const destination = result.destination || {};
  const id = destination.dataset_id || destination.audience_id || destination.ad_account_id || destination.segment_id;
  return (isSet(id) ? makeString(id) + ' ' : '') + result.outcome;
}

function describeReject(reject) {
  return 'row ' + makeString(reject.row) + (isSet(reject.field) ? ' ' + reject.field : '') + ': ' + reject.reason;
}

function describeError(error) {
  const said = (isSet(error.field) ? error.field + ': ' : '') + error.message;
  return isSet(error.action) ? said + ' (' + error.action + ')' : said;
}

// Values

function isSet(value) {
  return value !== undefined && value !== null && value !== '';
}

function isTrue(value) {
  return value === true || value === 'true';
}

function isSuccess(status) {
  return status >= 200 && status < 300;
}

function put(object, key, value) {
  if (isSet(value)) object[key] = value;
}

// An empty object or list is as good as none.
function orNothing(value) {
  const size = getType(value) === 'array' ? value.length : Object.keys(value).length;
  return size > 0 ? value : undefined;
}

function picked(keys) {
  const found = {};
  keys.forEach((key) => put(found, key, event[key]));
  return found;
}

// A row whose variable holds nothing leaves what the event itself states.
function tableOf(rows) {
  const table = {};
  (rows || []).forEach((row) => put(table, row.name, row.value));
  return table;
}

function merged(field, object, rows) {
  const base = isSet(object) ? parsed(object) : {};
  const table = tableOf(rows);
  if (getType(base) !== 'object') {
    faults.push(field + ': not an object');
    return undefined;
  }
  const both = {};
  Object.keys(base).forEach((key) => put(both, key, base[key]));
  Object.keys(table).forEach((key) => put(both, key, table[key]));
  return orNothing(both);
}

// Variables often hold JSON as text; undefined where it is none.
function parsed(value) {
  const first = getType(value) === 'string' ? value.trim().charAt(0) : '';
  return first === '{' || first === '[' ? JSON.parse(value) : value;
}

// What is no JSON has none of an answer's keys.
function answerIn(text) {
  return JSON.parse(text || '') || {};
}

function idsOf(value) {
  const list = parsed(value);
  if (getType(list) === 'array') return list;
  return isSet(list) ? makeString(list).split(',').map((id) => id.trim()) : undefined;
}

function withoutSlash(url) {
  let bare = url.trim();
  while (bare.charAt(bare.length - 1) === '/') bare = bare.slice(0, -1);
  return bare;
}


___SERVER_PERMISSIONS___

[
  {
    "instance": {
      "key": {
        "publicId": "read_event_data",
        "versionId": "1"
      },
      "param": [
        {
          "key": "eventDataAccess",
          "value": {
            "type": 1,
            "string": "any"
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "send_http",
        "versionId": "1"
      },
      "param": [
        {
          "key": "allowedUrls",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "urls",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 1,
                "string": "https://pubsub.googleapis.com/v1/projects/*"
              },
              {
                "type": 1,
                "string": "https://*.run.app/*"
              },
              {
                "type": 1,
                "string": "https://*.cloudfunctions.net/*"
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "use_google_credentials",
        "versionId": "1"
      },
      "param": [
        {
          "key": "allowedScopes",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 1,
                "string": "https://www.googleapis.com/auth/pubsub"
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "use_custom_private_keys",
        "versionId": "1"
      },
      "param": [
        {
          "key": "keyIds",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 1,
                "string": "meta-relay"
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "get_cookies",
        "versionId": "1"
      },
      "param": [
        {
          "key": "cookieAccess",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "cookieNames",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 1,
                "string": "_fbp"
              },
              {
                "type": 1,
                "string": "_fbc"
              },
              {
                "type": 1,
                "string": "_gtmeec"
              },
              {
                "type": 1,
                "string": "_fbi"
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "set_cookies",
        "versionId": "1"
      },
      "param": [
        {
          "key": "allowedCookies",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "name"
                  },
                  {
                    "type": 1,
                    "string": "domain"
                  },
                  {
                    "type": 1,
                    "string": "path"
                  },
                  {
                    "type": 1,
                    "string": "secure"
                  },
                  {
                    "type": 1,
                    "string": "session"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "_fbp"
                  },
                  {
                    "type": 1,
                    "string": "*"
                  },
                  {
                    "type": 1,
                    "string": "*"
                  },
                  {
                    "type": 1,
                    "string": "any"
                  },
                  {
                    "type": 1,
                    "string": "any"
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "name"
                  },
                  {
                    "type": 1,
                    "string": "domain"
                  },
                  {
                    "type": 1,
                    "string": "path"
                  },
                  {
                    "type": 1,
                    "string": "secure"
                  },
                  {
                    "type": 1,
                    "string": "session"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "_fbc"
                  },
                  {
                    "type": 1,
                    "string": "*"
                  },
                  {
                    "type": 1,
                    "string": "*"
                  },
                  {
                    "type": 1,
                    "string": "any"
                  },
                  {
                    "type": 1,
                    "string": "any"
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "name"
                  },
                  {
                    "type": 1,
                    "string": "domain"
                  },
                  {
                    "type": 1,
                    "string": "path"
                  },
                  {
                    "type": 1,
                    "string": "secure"
                  },
                  {
                    "type": 1,
                    "string": "session"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "_gtmeec"
                  },
                  {
                    "type": 1,
                    "string": "*"
                  },
                  {
                    "type": 1,
                    "string": "*"
                  },
                  {
                    "type": 1,
                    "string": "any"
                  },
                  {
                    "type": 1,
                    "string": "any"
                  }
                ]
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "read_request",
        "versionId": "1"
      },
      "param": [
        {
          "key": "requestAccess",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "headersAllowed",
          "value": {
            "type": 8,
            "boolean": true
          }
        },
        {
          "key": "headerAccess",
          "value": {
            "type": 1,
            "string": "specific"
          }
        },
        {
          "key": "headerWhitelist",
          "value": {
            "type": 2,
            "listItem": [
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "headerName"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "trace-id"
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "headerName"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "traceparent"
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "headerName"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "x-cloud-trace-context"
                  }
                ]
              },
              {
                "type": 3,
                "mapKey": [
                  {
                    "type": 1,
                    "string": "headerName"
                  }
                ],
                "mapValue": [
                  {
                    "type": 1,
                    "string": "referer"
                  }
                ]
              }
            ]
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "read_container_data",
        "versionId": "1"
      },
      "param": []
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  },
  {
    "instance": {
      "key": {
        "publicId": "logging",
        "versionId": "1"
      },
      "param": [
        {
          "key": "environments",
          "value": {
            "type": 1,
            "string": "all"
          }
        }
      ]
    },
    "clientAnnotations": {
      "isEditedByUser": true
    },
    "isRequired": true
  }
]


___TESTS___

scenarios:
- name: 'Set-up 1: an event as it is, to the dataset of the connection'
  code: |-
    handOver({action: 'events', autoMapEventData: true, actionSource: 'inherit', eventNameMode: 'inherit', cookieUse: 'none'});
    everyBody().forEach((body) => assertThat(body).isEqualTo({event_data: event}));
- name: 'Set-up 2: an event with a name of its own, to two datasets, one with another connection and a test code'
  code: |-
    handOver({action: 'events', actionSource: 'website', eventNameMode: 'standard', eventNameStandard: 'Lead', cookieUse: 'none',
      connection: 'acme',
      datasetList: [{dataset_id: '3001', connection: '', test_event_code: ''},
        {dataset_id: '4001', connection: 'globex', test_event_code: 'TEST4'}]});
    everyBody().forEach((body) => assertThat(body).isEqualTo({
      event_data: event,
      destinations: [{dataset_id: '3001'}, {dataset_id: '4001', connection: 'globex', test_event_code: 'TEST4'}],
      event: {event_name: 'Lead', action_source: 'website'},
      connection: 'acme'
    }));
- name: 'Set-up 3: an event whose person and matter come from the tables alone'
  code: |-
    handOver({action: 'events', actionSource: 'inherit', eventNameMode: 'custom', eventNameCustom: 'Newsletter',
      autoMapEventData: false, cookieUse: 'none', testEventCode: 'TEST3',
      serverEventDataList: [{name: 'event_id', value: 'E-3'}, {name: 'opt_out', value: 'false'}],
      userDataObject: {em: 'someone.else@example.com', fn: 'Ada'},
      userDataList: [{name: 'em', value: ['ada@example.com', 'ada@example.org']}, {name: 'ph', value: undefined}],
      customDataList: [{name: 'status', value: 'subscribed'}]});
    const essential = JSON.parse(JSON.stringify(event));
    ['currency', 'value', 'transaction_id', 'items', 'user_data', 'page_title'].forEach((key) => Object.delete(essential, key));
    everyBody().forEach((body) => assertThat(body).isEqualTo({
      event_data: essential,
      event: {event_id: 'E-3', opt_out: 'false', event_name: 'Newsletter', test_event_code: 'TEST3',
        user_data: {em: ['ada@example.com', 'ada@example.org'], fn: 'Ada'}, custom_data: {status: 'subscribed'}}
    }));
- name: 'Set-up 4: an event with the cookies of the browser, identity, and limited data use'
  code: |-
    cookies = {_fbp: ['fb.1.1799999999000.1234567890'], _fbc: [], _fbi: ['198.51.100.7']};
    handOver({action: 'events', actionSource: 'inherit', eventNameMode: 'inherit', cookieUse: 'set',
      identityMode: 'enabled', anonymousId: '1093847561.1769853600',
      enableDataProcessingOptions: 'true', dataProcessingCountry: 'US', dataProcessingState: 'CA'});
    const published = everyBody()[0];
    assertThat(published.event_data._fbp).isEqualTo('fb.1.1799999999000.1234567890');
    assertThat(published.event_data._fbc).isUndefined();
    assertThat(published.cookies).isUndefined();
    everyBody().slice(1).forEach((body) => {
      assertThat(body.event_data).isEqualTo(event);
      assertThat(body.cookies).isEqualTo({_fbp: 'fb.1.1799999999000.1234567890', _fbi: '198.51.100.7'});
    });
    everyBody().forEach((body) => {
      assertThat(body.identity).isEqualTo({enabled: true, anonymous_id: '1093847561.1769853600'});
      assertThat(body.data_processing).isEqualTo({options: ['LDU'], country: 'US', state: 'CA'});
    });
- name: 'Set-up 5: an event whose products are written in words of its own'
  code: |-
    event.basket = {lines: [{sku: 'SKU-300', pieces: 2, each: '10.50'}]};
    Object.delete(event, 'items');
    handOver({action: 'events', actionSource: 'inherit', eventNameMode: 'inherit', cookieUse: 'none', productSchema: 'custom',
      productArray: 'basket.lines', productId: 'sku', productQuantity: 'pieces', productPrice: 'each'});
    everyBody().forEach((body) => assertThat(body).isEqualTo({event_data: event,
      products: {schema: 'custom', array: 'basket.lines', id: 'sku', quantity: 'pieces', price: 'each'}}));
- name: 'Set-up 6: an event of an app'
  code: |-
    handOver({action: 'events', actionSource: 'app', eventNameMode: 'inherit', cookieUse: 'none',
      appDataObject: '{"advertiser_tracking_enabled": 1, "application_tracking_enabled": 0, "vendor_id": "V-1"}',
      appDataList: [{name: 'application_tracking_enabled', value: '1'},
        {name: 'extinfo', value: ['i2', 'com.example.shop', '1.0', '1.0.3', '17.4', 'iPhone15,2', 'de_DE', 'CET', '', '390', '844', '3', '6', '128', '64', 'Europe/Berlin']}]});
    everyBody().forEach((body) => assertThat(body.event).isEqualTo({action_source: 'app', app_data: {
      advertiser_tracking_enabled: 1, application_tracking_enabled: '1', vendor_id: 'V-1',
      extinfo: ['i2', 'com.example.shop', '1.0', '1.0.3', '17.4', 'iPhone15,2', 'de_DE', 'CET', '', '390', '844', '3', '6', '128', '64', 'Europe/Berlin']}}));
- name: 'Set-up 7: a value that is added to an earlier event'
  code: |-
    handOver({action: 'events', actionSource: 'inherit', eventNameMode: 'standard', eventNameStandard: 'AppendValue', cookieUse: 'none',
      originalEventDataList: [{name: 'event_name', value: 'Purchase'}, {name: 'order_id', value: 'DE-10482'}, {name: 'event_id', value: ''}],
      customDataObject: {predicted_ltv: 420, net_revenue: 80}});
    everyBody().forEach((body) => assertThat(body.event).isEqualTo({event_name: 'AppendValue',
      custom_data: {predicted_ltv: 420, net_revenue: 80}, original_event_data: {event_name: 'Purchase', order_id: 'DE-10482'}}));
- name: 'Set-up 8: somebody is added to two audiences, of which one is value-based'
  code: |-
    handOver({action: 'add', userMode: 'single',
      audienceList: [{audience_id: '1001', value_based: false}, {audience_id: '1003', connection: 'acme', value_based: true}],
      singleUserIdentifiersList: [{name: 'EMAIL', value: ['Ada@Example.com', 'ada@example.org']},
        {name: 'PHONE', value: '0170 1234567'}, {name: 'COUNTRY', value: 'Deutschland'}, {name: 'LOOKALIKE_VALUE', value: 129.9},
        {name: 'MADID', value: undefined}]});
    everyBody().forEach((body) => assertThat(body).isEqualTo({
      action: 'add',
      destinations: [{audience_id: '1001', value_based: false}, {audience_id: '1003', connection: 'acme', value_based: true}],
      event_data: {consent_state: event.consent_state, 'x-ga-gcs': 'G111', page_location: event.page_location},
      user: {EMAIL: ['Ada@Example.com', 'ada@example.org'], PHONE: '0170 1234567', COUNTRY: 'Deutschland',
        LOOKALIKE_VALUE: 129.9}
    }));
- name: 'Set-up 9: many people are added, as rows under a schema'
  code: |-
    handOver({action: 'add', userMode: 'multiple', audienceList: [{audience_id: '2001', connection: 'globex'}],
      multipleUsersSchema: 'EMAIL, FN, EXTERN_ID',
      multipleUsersAudienceMembers: '[["grace@example.com", "Grace", "c-1"], ["ada@example.com", "Ada", "c-2"]]'});
    everyBody().forEach((body) => assertThat(body.users).isEqualTo({schema: 'EMAIL, FN, EXTERN_ID',
      data: [['grace@example.com', 'Grace', 'c-1'], ['ada@example.com', 'Ada', 'c-2']]}));
- name: 'Set-up 10: the person of the event is removed who has withdrawn consent'
  code: |-
    event.consent_state.ad_user_data = false;
    handOver({action: 'add', userMode: 'event', audienceList: [{audience_id: '1001'}], removeOnDenied: true});
    everyBody().forEach((body) => assertThat(body).isEqualTo({action: 'add', destinations: [{audience_id: '1001'}],
      user_from_event: true, event_data: event, consent: {on_denied: 'remove'}}));
- name: 'Set-up 11: somebody is removed from two audiences, of which one is value-based'
  code: |-
    handOver({action: 'remove', userMode: 'single', audienceList: [{audience_id: '1001', value_based: false}, {audience_id: '1003', value_based: true}],
      singleUserIdentifiersList: [{name: 'EMAIL', value: 'ada@example.com'}]});
    everyBody().forEach((body) => {
      assertThat(body.action).isEqualTo('remove');
      assertThat(body.destinations).isEqualTo([{audience_id: '1001'}, {audience_id: '1003'}]);
      assertThat(body.user).isEqualTo({EMAIL: 'ada@example.com'});
    });
- name: 'Set-up 12: somebody is removed from all audiences of an ad account'
  code: |-
    handOver({action: 'remove_from_all', userMode: 'single', adAccountList: [{ad_account_id: 'act_1234567890', connection: 'acme'}],
      singleUserIdentifiersList: [{name: 'EMAIL', value: 'ada@example.com'}]});
    everyBody().forEach((body) => assertThat(body.destinations).isEqualTo([{ad_account_id: 'act_1234567890', connection: 'acme'}]));
- name: 'Set-up 13: somebody enters a segment'
  code: |-
    handOver({action: 'enter', userMode: 'single', segmentId: '44A23B49', segmentName: 'Segment 1', connection: 'acme',
      segmentPropertiesList: [{name: 'email', value: 'ada@example.com'}, {name: 'firstname', value: 'Ada'}]});
    everyBody().forEach((body) => assertThat(body).isEqualTo({
      segment: {id: '44A23B49', name: 'Segment 1'}, change: 'enter', changed_at: 1800000000999, connection: 'acme',
      event_data: {consent_state: event.consent_state, 'x-ga-gcs': 'G111', page_location: event.page_location},
      user: {email: 'ada@example.com', firstname: 'Ada'}
    }));
- name: 'Set-up 14: many people leave a segment'
  code: |-
    handOver({action: 'leave', userMode: 'multiple', segmentId: 7, segmentName: 'Segment 7', multipleUsersSchema: '',
      multipleUsersAudienceMembers: [{email: 'ada@example.com'}, {email: 'grace@example.com'}]});
    everyBody().forEach((body) => {
      assertThat(body.segment).isEqualTo({id: '7', name: 'Segment 7'});
      assertThat(body.change).isEqualTo('leave');
      assertThat(body.users).isEqualTo([{email: 'ada@example.com'}, {email: 'grace@example.com'}]);
    });

- name: Pub/Sub - publishes with the server's own account, for Pub/Sub alone
  code: |-
    mock('getGoogleAuth', (options) => {
      assertThat(options).isEqualTo({scopes: ['https://www.googleapis.com/auth/pubsub']});
      return 'the authorization';
    });
    headers = {'trace-id': 'T-1'};
    start([PUBSUB, ADD]);
    assertThat(sent.length).isEqualTo(1);
    assertThat(sent[0].url).isEqualTo('https://pubsub.googleapis.com/v1/projects/local/topics/meta-relay:publish');
    assertThat(sent[0].options).isEqualTo({method: 'POST', headers: {'Content-Type': 'application/json'}, authorization: 'the authorization', timeout: 3000});
    assertThat(JSON.parse(sent[0].body).messages[0].attributes).isEqualTo({type: 'audiences', 'trace-id': 'T-1'});
    assertApi('hmacSha256').wasNotCalled();
    succeeds();
- name: Pub/Sub - the type of a message follows the action
  code: |-
    start([PUBSUB, {action: 'events'}]);
    start([PUBSUB, {action: 'leave', segmentId: '1'}]);
    start([PUBSUB, REMOVE_FROM_ALL]);
    assertThat(sent.map((one) => JSON.parse(one.body).messages[0].attributes.type)).isEqualTo(['events', 'segments', 'audiences']);
- name: Pub/Sub - letters beyond ASCII arrive
  code: |-
    start([PUBSUB, {action: 'events'}]);
    assertThat(everyBody()[0].event_data.user_data.address[0].last_name).isEqualTo('Muster-Weiß');
- name: Pub/Sub - held is success, told with the message's id
  code: |-
    capture();
    answer = {statusCode: 200, body: '{"messageIds": ["136969346945"]}'};
    start([PUBSUB, ADD, {logType: 'always'}]);
    succeeds();
    callLater(() => assertThat(lines).isEqualTo([{Name: 'MetaRelay', Type: 'Response', EventName: 'add', Outcome: 'published',
      ResponseStatusCode: 200, MessageId: '136969346945'}]));
- name: Pub/Sub - refused is failure, told in Google's word
  code: |-
    capture();
    answer = {statusCode: 403, body: '{"error": {"code": 403, "message": "User not authorized", "status": "PERMISSION_DENIED"}}'};
    start([PUBSUB, ADD, {logType: 'always'}]);
    fails();
    callLater(() => assertThat(lines).isEqualTo([{Name: 'MetaRelay', Type: 'Response', EventName: 'add', Outcome: 'failed',
      ResponseStatusCode: 403, Reason: 'PERMISSION_DENIED'}]));
- name: Pub/Sub - an answer without a body is told by its status
  code: |-
    capture();
    answer = {statusCode: 204, body: ''};
    start([PUBSUB, ADD, {logType: 'always'}]);
    succeeds();
    callLater(() => assertThat(lines[0].ResponseStatusCode).isEqualTo(204));
- name: Pub/Sub - a refusal without a body is failure
  code: |-
    answer = {statusCode: 300, body: ''};
    start([PUBSUB, ADD]);
    fails();
- name: Pub/Sub - no answer in time is failure
  code: |-
    capture();
    rejection = {reason: 'timed_out'};
    start([PUBSUB, ADD, {logType: 'always'}]);
    fails();
    callLater(() => assertThat(lines).isEqualTo([{Name: 'MetaRelay', Type: 'Response', EventName: 'add', Outcome: 'failed', Reason: 'no answer: timed_out'}]));
- name: HTTP - the signature covers the time and the very body that is sent
  code: |-
    headers = {traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'x-cloud-trace-context': '105445aa7843bc8bf206b12000100000/1'};
    mock('hmacSha256', (text, key, options) => {
      assertThat(text).isEqualTo('1800000000.' + JSON.stringify({event_data: event, cookies: {}}));
      assertThat(key).isEqualTo('meta-relay');
      assertThat(options).isEqualTo({outputEncoding: 'hex'});
      return 'the signature';
    });
    start([SIGNED, {action: 'events', cookieUse: 'set'}]);
    assertThat(sent[0].body).isEqualTo(JSON.stringify({event_data: event, cookies: {}}));
    assertThat(sent[0].url).isEqualTo('https://meta-relay-abc123-ew.a.run.app/events');
    assertThat(sent[0].options).isEqualTo({method: 'POST', timeout: 4000, headers: {
      'Content-Type': 'application/json',
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'x-cloud-trace-context': '105445aa7843bc8bf206b12000100000/1',
      'X-Relay-Timestamp': '1800000000', 'X-Relay-Signature': 'the signature'}});
    assertApi('getGoogleAuth').wasNotCalled();
- name: HTTP - a key in a header, and nothing signed
  code: |-
    start([KEYED, ADD]);
    assertThat(sent[0].options.headers).isEqualTo({'Content-Type': 'application/json', 'X-Relay-Key': 'key-of-sgtm'});
    assertApi('hmacSha256').wasNotCalled();
- name: HTTP - the address may end with slashes and have a path; each kind has its own
  code: |-
    start([SIGNED, ADD, {relayUrl: ' https://relay-1.a.run.app/meta/// '}]);
    start([SIGNED, {action: 'enter', segmentId: '1'}, {relayUrl: 'https://europe-west1-p.cloudfunctions.net/receive'}]);
    assertThat(sent.map((one) => one.url)).isEqualTo(['https://relay-1.a.run.app/meta/audiences', 'https://europe-west1-p.cloudfunctions.net/receive/segments']);
- name: HTTP - a time-out of its own, and the usual one where it is no number
  code: |-
    start([SIGNED, ADD, {timeout: '1500'}]);
    start([SIGNED, ADD, {timeout: ''}]);
    assertThat(sent.map((one) => one.options.timeout)).isEqualTo([1500, 4000]);
- name: HTTP - no answer is failure
  code: |-
    capture();
    rejection = null;
    start([SIGNED, ADD, {logType: 'always'}]);
    fails();
    callLater(() => assertThat(lines[0].Reason).isEqualTo('no answer: failed'));
- name: A trace id as long as allowed goes along, a longer one does not
  code: |-
    let longest = '';
    while (longest.length < 128) longest = longest + 'a';
    headers = {'trace-id': longest, traceparent: longest + 'a'};
    start([KEYED, ADD]);
    assertThat(sent[0].options.headers['trace-id']).isEqualTo(longest);
    assertThat(sent[0].options.headers.traceparent).isUndefined();
- name: Optimistic - asked of the relay, as truth or as text, and awaited like any answer
  code: |-
    answer = {statusCode: 202, body: '{"outcome": "queued", "results": [{"destination": {"audience_id": "1001"}, "outcome": "queued"}]}'};
    start([SIGNED, ADD, {useOptimisticScenario: true}]);
    start([SIGNED, ADD, {useOptimisticScenario: 'true'}]);
    start([SIGNED, ADD, {useOptimisticScenario: 'false'}]);
    start([SIGNED, ADD, {useOptimisticScenario: false}]);
    start([PUBSUB, ADD, {useOptimisticScenario: true}]);
    assertThat(everyBody().map((body) => body.optimistic)).isEqualTo([true, true, undefined, undefined, undefined]);
    succeeds();
- name: Optimistic - success is told once the relay has answered, not before
  code: |-
    start([SIGNED, ADD, {useOptimisticScenario: true}]);
    assertApi('gtmOnSuccess').wasNotCalled();
    succeeds();

- name: Answer - delivered is success
  code: |-
    start([SIGNED, ADD]);
    succeeds();
- name: Answer - withheld for want of consent is success
  code: |-
    answer = {statusCode: 200, body: '{"outcome": "withheld", "results": [{"destination": {"audience_id": "1001"}, "outcome": "withheld"}]}'};
    start([SIGNED, ADD]);
    succeeds();
- name: Answer - a dry run is success
  code: |-
    answer = {statusCode: 200, body: '{"outcome": "dry_run", "results": [{"destination": {"audience_id": "1001"}, "outcome": "dry_run"}]}'};
    start([SIGNED, ADD, {dryRun: true}]);
    assertThat(everyBody()[0].dry_run).isTrue();
    assertThat(everyBody()[0].debug).isUndefined();
    succeeds();
- name: Answer - rows refused beside delivered ones are success
  code: |-
    answer = {statusCode: 200, body: '{"outcome": "partial", "results": [{"destination": {"audience_id": "1001"}, "outcome": "partial"}], "rejected": [{"row": 1, "field": "PHONE", "reason": "not a phone number"}]}'};
    start([SIGNED, ADD]);
    succeeds();
- name: Answer - a destination that got nothing is failure, whatever the others got
  code: |-
    answer = {statusCode: 200, body: '{"outcome": "partial", "results": [{"destination": {"audience_id": "1001"}, "outcome": "delivered"}, {"destination": {"audience_id": "1002"}, "outcome": "failed"}]}'};
    start([SIGNED, ADD]);
    fails();
- name: Answer - a destination whose people were all rejected is failure
  code: |-
    answer = {statusCode: 202, body: '{"outcome": "queued", "results": [{"destination": {"dataset_id": "3001"}, "outcome": "queued"}, {"destination": {"dataset_id": "4001"}, "outcome": "rejected"}]}'};
    start([SIGNED, {action: 'events'}]);
    fails();
- name: Answer - 199 is failure
  code: |-
    answers(199, 'delivered');
    fails();
- name: Answer - 300 is failure
  code: |-
    answers(300, 'delivered');
    fails();
- name: Answer - 400 is failure
  code: |-
    answers(400, 'rejected');
    fails();
- name: Answer - 401 is failure
  code: |-
    answers(401, 'rejected');
    fails();
- name: Answer - 403 is failure
  code: |-
    answers(403, 'rejected');
    fails();
- name: Answer - 413 is failure
  code: |-
    answers(413, 'rejected');
    fails();
- name: Answer - 422 is failure
  code: |-
    answers(422, 'rejected');
    fails();
- name: Answer - 500 is failure
  code: |-
    answers(500, 'failed');
    fails();
- name: Answer - 502 is failure
  code: |-
    answers(502, 'failed');
    fails();
- name: Answer - 503 is failure
  code: |-
    answers(503, 'failed');
    fails();
- name: Answer - a page that is not the relay's is failure even with status 200
  code: |-
    capture();
    answer = {statusCode: 200, body: '<html>Sign in</html>'};
    start([SIGNED, ADD, {logType: 'always'}]);
    answer = {statusCode: 200, body: '["delivered"]'};
    start([SIGNED, ADD, {logType: 'always'}]);
    fails();
    callLater(() => assertThat(lines).isEqualTo([0, 1].map(() => ({Name: 'MetaRelay', Type: 'Response', EventName: 'add',
      Outcome: 'failed', ResponseStatusCode: 200, Reason: 'not an answer of the relay'}))));
- name: Cookies - those that come back are set for the whole domain and 90 days
  code: |-
    answer = {statusCode: 200, body: '{"outcome": "delivered", "results": [], "cookies": {"_fbp": "fb.1.1.2", "_fbc": "fb.1.1.click", "_gtmeec": "signed", "session": "no"}}'};
    start([SIGNED, {action: 'events', cookieUse: 'set'}]);
    callLater(() => {
      const lax = {domain: 'auto', path: '/', 'max-age': 7776000, secure: true, sameSite: 'lax', httpOnly: false};
      assertApi('setCookie').wasCalledWith('_fbp', 'fb.1.1.2', lax);
      assertApi('setCookie').wasCalledWith('_fbc', 'fb.1.1.click', lax);
      assertApi('setCookie').wasCalledWith('_gtmeec', 'signed', {domain: 'auto', path: '/', 'max-age': 7776000, secure: true, sameSite: 'strict', httpOnly: true});
      assertApi('setCookie').wasNotCalledWith('session');
    });
- name: Cookies - a domain of its own, hidden from scripts
  code: |-
    answer = {statusCode: 200, body: '{"outcome": "delivered", "results": [], "cookies": {"_fbp": "fb.1.1.2", "_fbc": ""}}'};
    start([SIGNED, {action: 'events', cookieUse: 'set', cookieDomain: 'shop.example.de', useHttpOnlyCookie: true}]);
    callLater(() => {
      assertApi('setCookie').wasCalledWith('_fbp', 'fb.1.1.2', {domain: 'shop.example.de', path: '/', 'max-age': 7776000, secure: true, sameSite: 'lax', httpOnly: true});
      assertApi('setCookie').wasNotCalledWith('_fbc');
    });
- name: Cookies - none come back, none are set
  code: |-
    start([SIGNED, {action: 'events', cookieUse: 'set'}]);
    callLater(() => assertApi('setCookie').wasNotCalled());

- name: GTM's preview monitor - by the page, success and no request
  code: |-
    capture();
    event.page_location = 'https://gtm-msr.appspot.com/render2?id=GTM-1';
    start([SIGNED, ADD, {logType: 'always'}]);
    assertThat(sent.length).isEqualTo(0);
    assertThat(lines).isEqualTo([{Name: 'MetaRelay', Type: 'Message', EventName: 'add', Message: 'Request was not sent.', Reason: "GTM's preview monitor"}]);
    succeeds();
- name: GTM's preview monitor - by the referer where the event names no page
  code: |-
    Object.delete(event, 'page_location');
    headers = {referer: 'https://gtm-msr.appspot.com/render2?id=GTM-1'};
    start([PUBSUB, ADD]);
    assertThat(sent.length).isEqualTo(0);
    succeeds();
- name: GTM's preview monitor - a page that only mentions it is a page
  code: |-
    event.page_location = 'https://shop.example.de/?from=https://gtm-msr.appspot.com/';
    headers = {referer: 'https://gtm-msr.appspot.com/'};
    start([SIGNED, ADD]);
    assertThat(sent.length).isEqualTo(1);
- name: Fault - no audience
  code: |-
    capture();
    start([PUBSUB, ADD, {audienceList: [], logType: 'always'}]);
    assertThat(sent.length).isEqualTo(0);
    assertThat(lines).isEqualTo([{Name: 'MetaRelay', Type: 'Message', EventName: 'add', Message: 'Request was not sent.', Reason: 'audienceList: names no audience'}]);
    fails();
- name: Fault - no segment
  code: |-
    capture();
    start([PUBSUB, {action: 'enter', segmentId: undefined, segmentName: 'Segment 1', logType: 'always'}]);
    assertThat(sent.length).isEqualTo(0);
    assertThat(lines[0].Reason).isEqualTo('segmentId: is empty');
    fails();
- name: Fault - the person of an event in a segment
  code: |-
    capture();
    start([PUBSUB, {action: 'leave', segmentId: '1', userMode: 'event', logType: 'always'}]);
    assertThat(sent.length).isEqualTo(0);
    assertThat(lines[0].Reason).isEqualTo("userMode: a segment's people are written by table or list");
    fails();
- name: Fault - many people who are none
  code: |-
    capture();
    [undefined, [], 'ada@example.com', '[not json', {EMAIL: 'ada@example.com'}].forEach((people) =>
      start([PUBSUB, ADD, {userMode: 'multiple', multipleUsersSchema: 'EMAIL', multipleUsersAudienceMembers: people, logType: 'always'}]));
    assertThat(sent.length).isEqualTo(0);
    assertThat(lines.length).isEqualTo(5);
    lines.forEach((line) => assertThat(line.Reason).isEqualTo('multipleUsersAudienceMembers: not a list, or an empty one'));
    fails();
- name: Fault - objects that are none, each by its name and never by its value
  code: |-
    capture();
    start([PUBSUB, {action: 'events', actionSource: 'app', userDataObject: '{"em": "ada@example.com"', customDataObject: 5, appDataObject: ['a'], logType: 'always'}]);
    assertThat(sent.length).isEqualTo(0);
    assertThat(lines[0].Reason).isEqualTo('userDataObject: not an object; customDataObject: not an object; appDataObject: not an object');
    fails();

- name: Event - without automatic mapping it is these keys that go along, and no others
  code: |-
    const essential = ['consent_state', 'x-ga-gcs', 'x-ga-gcd', 'page_location', 'us_privacy', 'usprivacy', 'us_privacy_string',
      'gpp', 'gpp_string', 'event_name', 'event_id', 'timestamp', 'event_time', 'action_source', 'page_referrer', 'user_agent',
      'ip_override', 'x-sst-system_properties', 'test_event_code'];
    essential.forEach((key) => { event[key] = key; });
    event.client_id = 'left behind';
    start([PUBSUB, {action: 'events', actionSource: 'inherit', cookieUse: 'none', autoMapEventData: false}]);
    start([PUBSUB, ADD]);
    assertThat(Object.keys(everyBody()[0].event_data)).isEqualTo(essential);
    assertThat(Object.keys(everyBody()[1].event_data)).isEqualTo(essential.slice(0, 9));
- name: Event - inherited name and source are left to the relay
  code: |-
    start([PUBSUB, {action: 'events', eventNameMode: 'inherit', eventNameStandard: 'Lead', eventNameCustom: 'x', actionSource: 'inherit'}]);
    assertThat(everyBody()[0].event).isUndefined();
- name: Event - the channel of a conversation goes with business messaging alone
  code: |-
    start([PUBSUB, {action: 'events', actionSource: 'business_messaging', messagingChannel: 'whatsapp'}]);
    start([PUBSUB, {action: 'events', actionSource: 'chat', messagingChannel: 'whatsapp'}]);
    assertThat(everyBody().map((body) => body.event)).isEqualTo([{action_source: 'business_messaging', messaging_channel: 'whatsapp'}, {action_source: 'chat'}]);
- name: Event - data of the app and of an earlier event go where they belong
  code: |-
    start([PUBSUB, {action: 'events', actionSource: 'website', appDataObject: {vendor_id: 'V'}, appDataList: [{name: 'vendor_id', value: 'W'}]}]);
    start([PUBSUB, {action: 'events', actionSource: 'inherit', eventNameMode: 'standard', eventNameStandard: 'Purchase', originalEventDataList: [{name: 'order_id', value: '1'}]}]);
    assertThat(everyBody().map((body) => body.event)).isEqualTo([{action_source: 'website'}, {event_name: 'Purchase'}]);
- name: Event - table before object, and what holds nothing changes nothing
  code: |-
    start([PUBSUB, {action: 'events', actionSource: 'inherit',
      serverEventDataList: [{name: 'event_id', value: ''}, {name: 'event_time', value: null}, {name: 'referrer_url', value: undefined}, {name: 'opt_out', value: false}],
      userDataObject: ' {"em": "a@example.com", "ph": null, "fn": "", "ln": "Lovelace"}', userDataList: [{name: 'ln', value: 'King'}, {name: 'em', value: ''}],
      customDataObject: {value: 0}, customDataList: []}]);
    assertThat(everyBody()[0].event).isEqualTo({opt_out: false, user_data: {em: 'a@example.com', ln: 'King'}, custom_data: {value: 0}});
- name: Event - the object of a variable is left as it was
  code: |-
    const mine = {em: 'a@example.com'};
    start([PUBSUB, {action: 'events', actionSource: 'inherit', userDataObject: mine, userDataList: [{name: 'ln', value: 'King'}]}]);
    assertThat(mine).isEqualTo({em: 'a@example.com'});
- name: Event - a name of its own wins over the table
  code: |-
    start([PUBSUB, {action: 'events', actionSource: 'inherit', eventNameMode: 'custom', eventNameCustom: 'Newsletter', testEventCode: 'T1'}]);
    assertThat(everyBody()[0].event).isEqualTo({event_name: 'Newsletter', test_event_code: 'T1'});
- name: Event - products in GA4's words need no telling, Omni's do
  code: |-
    start([PUBSUB, {action: 'events', actionSource: 'inherit', productSchema: 'ga4', productArray: 'left over'}]);
    start([PUBSUB, {action: 'events', actionSource: 'inherit', productSchema: 'omni', productArray: 'left over'}]);
    start([PUBSUB, {action: 'events', actionSource: 'inherit', productSchema: 'custom', productId: 'sku'}]);
    assertThat(everyBody().map((body) => body.products)).isEqualTo([undefined, {schema: 'omni'}, {schema: 'custom', id: 'sku'}]);
- name: Event - cookies read only, over HTTP too
  code: |-
    cookies = {_fbp: ['fb.1.1.2'], _fbc: ['fb.1.1.click'], _gtmeec: ['signed']};
    event._fbc = 'fb.1.1.own';
    start([SIGNED, {action: 'events', actionSource: 'inherit', cookieUse: 'read'}]);
    assertThat(everyBody()[0].cookies).isUndefined();
    assertThat(everyBody()[0].event_data._fbp).isEqualTo('fb.1.1.2');
    assertThat(everyBody()[0].event_data._fbc).isEqualTo('fb.1.1.own');
    assertThat(everyBody()[0].event_data._gtmeec).isUndefined();
- name: Event - cookies left alone are not even read
  code: |-
    cookies = {_fbp: ['fb.1.1.2']};
    start([SIGNED, {action: 'events', actionSource: 'inherit', cookieUse: 'none'}]);
    assertApi('getCookieValues').wasNotCalled();
    assertThat(everyBody()[0]).isEqualTo({event_data: event});
- name: Event - all cookies that the relay knows go along over HTTP
  code: |-
    cookies = {_fbp: ['fb.1.1.2', 'second'], _fbc: ['fb.1.1.click'], _gtmeec: ['signed'], _fbi: ['198.51.100.7'], session: ['no']};
    start([SIGNED, {action: 'events', actionSource: 'inherit', cookieUse: 'set'}]);
    assertThat(everyBody()[0].cookies).isEqualTo({_fbp: 'fb.1.1.2', _fbc: 'fb.1.1.click', _gtmeec: 'signed', _fbi: '198.51.100.7'});
- name: Identity - as configured, wanted, or not; the anonymous id goes along as text where there is one
  code: |-
    start([PUBSUB, {action: 'events', actionSource: 'inherit', identityMode: 'configured', anonymousId: ''}]);
    start([PUBSUB, {action: 'events', actionSource: 'inherit', identityMode: 'configured', anonymousId: 123.456}]);
    start([PUBSUB, {action: 'events', actionSource: 'inherit', identityMode: 'enabled'}]);
    start([PUBSUB, {action: 'events', actionSource: 'inherit', identityMode: 'disabled', anonymousId: 'left over'}]);
    assertThat(everyBody().map((body) => body.identity)).isEqualTo([undefined, {anonymous_id: '123.456'}, {enabled: true}, {enabled: false}]);
- name: Identity - for people only where they are those of the event
  code: |-
    start([PUBSUB, ADD, {userMode: 'event', identityMode: 'enabled'}]);
    start([PUBSUB, ADD, {identityMode: 'enabled'}]);
    assertThat(everyBody().map((body) => body.identity)).isEqualTo([{enabled: true}, undefined]);

- name: People - the event goes along only where its person is meant
  code: |-
    event.us_privacy = '1YYN';
    event.gpp = 'DBABTA~1YYN';
    start([PUBSUB, ADD]);
    start([PUBSUB, ADD, {userMode: 'event'}]);
    assertThat(everyBody()[0].event_data).isEqualTo({consent_state: event.consent_state, 'x-ga-gcs': 'G111', page_location: event.page_location, us_privacy: '1YYN', gpp: 'DBABTA~1YYN'});
    assertThat(everyBody()[1].event_data).isEqualTo(event);
    assertThat(everyBody()[1].user).isUndefined();
- name: People - an event that says nothing of consent is not sent at all
  code: |-
    event = {event_name: 'sign_up'};
    start([PUBSUB, ADD]);
    assertThat(everyBody()[0].event_data).isUndefined();
- name: People - without destinations the ad account of the connection is meant
  code: |-
    start([PUBSUB, REMOVE_FROM_ALL, {audienceList: [{audience_id: 'left over'}]}]);
    assertThat(everyBody()[0].destinations).isUndefined();
- name: People - many as objects, and under a schema that is a list
  code: |-
    start([PUBSUB, ADD, {userMode: 'multiple', multipleUsersAudienceMembers: [{EMAIL: 'a@example.com'}]}]);
    start([PUBSUB, ADD, {userMode: 'multiple', multipleUsersSchema: ['EMAIL'], multipleUsersAudienceMembers: [['a@example.com']]}]);
    start([PUBSUB, ADD, {userMode: 'multiple', multipleUsersSchema: '["EMAIL"]', multipleUsersAudienceMembers: '[["a@example.com"]]'}]);
    assertThat(everyBody().map((body) => body.users)).isEqualTo([[{EMAIL: 'a@example.com'}],
      {schema: ['EMAIL'], data: [['a@example.com']]}, {schema: ['EMAIL'], data: [['a@example.com']]}]);
    assertThat(everyBody()[0].user).isUndefined();
- name: People - ids of pages and apps, as text, number or list
  code: |-
    start([PUBSUB, ADD, {pageIds: '1, 2', appIds: ''}]);
    start([PUBSUB, ADD, {pageIds: 3, appIds: [4, '5']}]);
    assertThat(everyBody().map((body) => body.page_ids)).isEqualTo([['1', '2'], ['3']]);
    assertThat(everyBody().map((body) => body.app_ids)).isEqualTo([undefined, [4, '5']]);
- name: People - somebody of whom nothing is known is told apart from nobody
  code: |-
    start([PUBSUB, ADD, {singleUserIdentifiersList: [{name: 'EMAIL', value: undefined}, {name: 'PHONE', value: ''}]}]);
    assertThat(everyBody()[0].user).isEqualTo({EMAIL: null, PHONE: null});
- name: People - a segment has no audience, and its person is written in the words of a CDP
  code: |-
    start([PUBSUB, ADD, {action: 'leave', segmentId: 'S', segmentName: '', segmentPropertiesList: [{name: 'email', value: 'a@example.com'}]}]);
    assertThat(everyBody()[0]).isEqualTo({segment: {id: 'S'}, change: 'leave', changed_at: 1800000000999, user: {email: 'a@example.com'},
      event_data: {consent_state: event.consent_state, 'x-ga-gcs': 'G111', page_location: event.page_location}});

- name: Consent - the required signals, in place of the configured ones
  code: |-
    const boxes = {requireAdStorage: true, requireAdUserData: true, requireAdPersonalization: false};
    start([PUBSUB, ADD, boxes, {consentMode: 'required'}]);
    start([PUBSUB, ADD, boxes, {consentMode: 'required', requireAdPersonalization: true}]);
    start([PUBSUB, ADD, boxes, {consentMode: 'configured'}]);
    start([PUBSUB, ADD, boxes, {consentMode: 'none'}]);
    start([PUBSUB, ADD, {consentMode: 'required'}]);
    start([PUBSUB, ADD, {consentMode: 'required', requireAdStorage: true}]);
    assertThat(everyBody().map((body) => body.consent)).isEqualTo([{required: ['ad_storage', 'ad_user_data']},
      {required: ['ad_storage', 'ad_user_data', 'ad_personalization']}, undefined, {required: []}, undefined, {required: ['ad_storage']}]);
- name: Consent - stated by table, where a variable holds something
  code: |-
    start([PUBSUB, ADD, {consentStateList: [{name: 'ad_storage', value: 'granted'}, {name: 'ad_user_data', value: false}, {name: 'ad_personalization', value: undefined}]}]);
    assertThat(everyBody()[0].consent).isEqualTo({state: {ad_storage: 'granted', ad_user_data: false}});
- name: Consent - withdrawals remove only where people are added
  code: |-
    start([PUBSUB, ADD, {removeOnDenied: true}]);
    start([PUBSUB, ADD, {removeOnDenied: true, action: 'remove'}]);
    start([PUBSUB, ADD, {removeOnDenied: false}]);
    assertThat(everyBody().map((body) => body.consent)).isEqualTo([{on_denied: 'remove'}, undefined, undefined]);
- name: Limited data use - place or none, as truth or as text; off is off
  code: |-
    start([PUBSUB, ADD, {enableDataProcessingOptions: true}]);
    start([PUBSUB, ADD, {enableDataProcessingOptions: 'true', dataProcessingCountry: 1, dataProcessingState: 1000}]);
    start([PUBSUB, ADD, {enableDataProcessingOptions: false, dataProcessingCountry: 'US'}]);
    start([PUBSUB, ADD, {enableDataProcessingOptions: 'false'}]);
    assertThat(everyBody().map((body) => body.data_processing)).isEqualTo([{options: ['LDU']}, {options: ['LDU'], country: 1, state: 1000}, undefined, undefined]);
- name: Testing - debug and dry run are asked for both ways
  code: |-
    start([PUBSUB, ADD, {debug: true, dryRun: true}]);
    start([SIGNED, ADD, {debug: true, dryRun: false}]);
    assertThat(everyBody().map((body) => [body.debug, body.dry_run])).isEqualTo([[true, true], [true, undefined]]);

- name: Log - what became of it and why, by field, and never a value
  code: |-
    capture();
    headers = {'trace-id': 'T-1'};
    answer = {statusCode: 502, body: JSON.stringify({trace_id: 'T-1', outcome: 'failed',
      results: [{destination: {audience_id: '1001'}, outcome: 'failed', error: {message: 'Meta refuses the access token', code: 190, action: 'renew the token'}},
        {destination: {dataset_id: '3001'}, outcome: 'delivered'}, {destination: {ad_account_id: '5'}, outcome: 'queued'},
        {destination: {segment_id: 'S'}, outcome: 'queued'}, {outcome: 'withheld', error: {message: 'Meta is ill'}}],
      rejected: [{row: 0, field: 'PHONE', reason: 'not a phone number'}, {row: 3, field: null, reason: 'too short'}],
      warnings: ['the body has keys that are not known; they are ignored']})};
    start([SIGNED, ADD, {logType: 'always'}]);
    callLater(() => assertThat(lines).isEqualTo([{Name: 'MetaRelay', Type: 'Response', EventName: 'add', TraceId: 'T-1', Outcome: 'failed',
      ResponseStatusCode: 502, RelayTraceId: 'T-1', Results: ['1001 failed', '3001 delivered', '5 queued', 'S queued', 'withheld'],
      Rejected: ['row 0 PHONE: not a phone number', 'row 3: too short'],
      Warnings: ['the body has keys that are not known; they are ignored'],
      Reason: 'Meta refuses the access token (renew the token); Meta is ill'}]));
- name: Log - an error of the body names its field
  code: |-
    capture();
    answer = {statusCode: 400, body: '{"outcome": "rejected", "results": [], "rejected": [], "warnings": [], "error": {"field": "connection", "message": "is not configured"}}'};
    start([SIGNED, ADD, {logType: 'always'}]);
    fails();
    callLater(() => assertThat(lines).isEqualTo([{Name: 'MetaRelay', Type: 'Response', EventName: 'add', Outcome: 'rejected', ResponseStatusCode: 400, Reason: 'connection: is not configured'}]));
- name: Log - five rejects at most
  code: |-
    capture();
    answer = {statusCode: 200, body: JSON.stringify({outcome: 'partial', results: [], rejected: [0, 1, 2, 3, 4, 5].map((row) => ({row: row, field: 'EMAIL', reason: 'no @'}))})};
    start([SIGNED, ADD, {logType: 'always'}]);
    callLater(() => assertThat(lines[0].Rejected.length).isEqualTo(5));
- name: Log - only in debug and preview, unless always or never
  code: |-
    capture();
    version = {debugMode: false, previewMode: false};
    start([KEYED, ADD, {logType: 'debug'}]);
    start([KEYED, ADD]);
    callLater(() => assertThat(lines.length).isEqualTo(0));
- name: Log - in debug mode
  code: |-
    capture();
    version = {debugMode: true, previewMode: false};
    start([KEYED, ADD, {logType: 'debug'}]);
    callLater(() => assertThat(lines.length).isEqualTo(1));
- name: Log - in preview mode, also where nothing is chosen
  code: |-
    capture();
    version = {previewMode: true};
    start([KEYED, ADD]);
    callLater(() => assertThat(lines.length).isEqualTo(1));
- name: Log - never
  code: |-
    capture();
    start([KEYED, ADD, {logType: 'no'}]);
    callLater(() => assertThat(lines.length).isEqualTo(0));
- name: Log - always, also where nothing is known of the container
  code: |-
    capture();
    version = undefined;
    start([KEYED, ADD, {logType: 'debug'}]);
    start([KEYED, ADD, {logType: 'always'}]);
    callLater(() => assertThat(lines.length).isEqualTo(1));
setup: |-
  const JSON = require('JSON');
  const Object = require('Object');
  const Promise = require('Promise');
  const callLater = require('callLater');
  const fromBase64 = require('fromBase64');
  const logToConsole = require('logToConsole');

  const PUBSUB = {transport: 'pubsub', topic: 'projects/local/topics/meta-relay'};
  const SIGNED = {transport: 'http', relayUrl: 'https://meta-relay-abc123-ew.a.run.app', authentication: 'signature', timeout: '4000'};
  const KEYED = {transport: 'http', relayUrl: 'https://meta-relay-abc123-ew.a.run.app', authentication: 'key', relayKey: 'key-of-sgtm', timeout: '4000'};
  const ADD = {action: 'add', userMode: 'single', audienceList: [{audience_id: '1001'}], singleUserIdentifiersList: [{name: 'EMAIL', value: 'ada@example.com'}]};
  const REMOVE_FROM_ALL = {action: 'remove_from_all', userMode: 'single', singleUserIdentifiersList: [{name: 'EMAIL', value: 'ada@example.com'}]};

  let event = {
    event_name: 'purchase',
    event_id: 'E-1',
    page_location: 'https://shop.example.de/kasse/danke?fbclid=IwAR2mQx7TestClick_AbC',
    page_referrer: 'https://shop.example.de/kasse/bezahlen',
    page_title: 'Vielen Dank',
    user_agent: 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)',
    ip_override: '2001:db8:85a3::8a2e:370:7334',
    currency: 'EUR',
    value: 129.9,
    transaction_id: 'DE-10482',
    items: [{item_id: 'SKU-100', item_name: 'Trail Shoe', price: 95, quantity: 1}, {item_id: 'SKU-207', price: '17.45', quantity: 2}],
    user_data: {
      email_address: ' Jana.Muster@Example.com ',
      phone_number: '+49 170 1234567',
      address: [{first_name: 'Jana', last_name: 'Muster-Weiß', city: 'Bad Tölz', postal_code: '83646', country: 'DE'}]
    },
    'x-ga-gcs': 'G111',
    consent_state: {ad_storage: true, ad_user_data: true, ad_personalization: true}
  };
  let headers = {};
  let cookies = {};
  let version = {debugMode: true, previewMode: true};
  let answer = {statusCode: 200, body: '{"outcome": "delivered", "results": [{"destination": {"audience_id": "1001"}, "outcome": "delivered"}]}'};
  let rejection;
  const sent = [];
  const lines = [];

  // As the API does it, each time another copy.
  mock('getAllEventData', () => JSON.parse(JSON.stringify(event)));
  mock('getTimestampMillis', 1800000000999);
  mock('getRequestHeader', (name) => headers[name]);
  mock('getCookieValues', (name) => cookies[name]);
  mock('getContainerVersion', () => version);
  mock('getGoogleAuth', () => 'the authorization');
  mock('sendHttpRequest', (url, options, body) => {
    sent.push({url: url, options: options, body: body});
    const answered = answer;
    return Promise.create((resolve, reject) => {
      if (rejection !== undefined) reject(rejection);
      else resolve(answered);
    });
  });

  function together(parts) {
    const whole = {};
    parts.forEach((part) => Object.keys(part).forEach((key) => { whole[key] = part[key]; }));
    return whole;
  }

  function start(parts) {
    runCode(together(parts));
  }

  function answers(status, outcome) {
    answer = {statusCode: status, body: JSON.stringify({outcome: outcome, results: []})};
    start([SIGNED, ADD]);
  }

  function everyBody() {
    return sent.map((one) => JSON.parse(one.url.indexOf('https://pubsub') === 0 ? fromBase64(JSON.parse(one.body).messages[0].data) : one.body));
  }

  // Hands over each way, prints the requests, and wants success.
  function handOver(fields) {
    [PUBSUB, SIGNED, KEYED].forEach((way) => start([{logType: 'no'}, fields, way]));
    sent.forEach((one) => logToConsole('REQUEST ' + JSON.stringify({url: one.url, headers: one.options.headers, body: one.body})));
    succeeds();
  }

  function capture() {
    mock('logToConsole', (line) => { lines.push(JSON.parse(line)); });
  }

  function succeeds() {
    callLater(() => {
      assertApi('gtmOnSuccess').wasCalled();
      assertApi('gtmOnFailure').wasNotCalled();
    });
  }

  function fails() {
    callLater(() => {
      assertApi('gtmOnFailure').wasCalled();
      assertApi('gtmOnSuccess').wasNotCalled();
    });
  }


___NOTES___

Built from its parts; change those, and build it again.
