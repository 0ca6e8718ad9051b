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
