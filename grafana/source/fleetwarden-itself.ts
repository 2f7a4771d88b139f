// Fleetwarden itself: does it see the fleet, does it reach people, and is it well.

import { alertList, createDashboard, dashboards, dashboardUrl, type Row } from './dashboard.ts'
import {
  badAbove,
  badAboveNothing,
  badBelow,
  type PanelSpec,
  stat,
  stateTimeline,
  table,
  timeseries,
} from './panel.ts'
import { increase, increaseInRange, of, quantile, rate, share, state, sum } from './query.ts'

const toFleet = { title: 'Fleet health', url: dashboardUrl('fleet') }
const yesNo = { 0: 'no', 1: 'yes' }
const throttled = 'code="429"'
/** Anything that is not an answer of success: statuses from 400 on, and the kinds of failure without one. */
const isFailure = 'code!~"[123]..|404"'
const requests = (...matchers: readonly string[]) => rate('fleet_partner_requests_total', ...matchers)

const now: readonly PanelSpec[] = [
  stat({
    title: 'Replicas',
    description: 'Processes of Fleetwarden that answer to Prometheus.',
    unit: 'short',
    width: 3,
    levels: badBelow(1, 1),
    sparkline: false,
    expr: `count(${of('fleet_build_info')})`,
  }),
  stat({
    title: 'Last read',
    description:
      'How long ago a walk read the fleet, all of it or some. Three intervals of the schedule are too long.',
    unit: 's',
    width: 3,
    levels: badAbove(1_200, 1_800),
    links: [toFleet],
    sparkline: false,
    expr: `time() - max(${of('fleet_poll_last_success_timestamp_seconds')})`,
  }),
  stat({
    title: 'Last complete',
    description:
      'How long ago a walk read every user and device. Old while "last read" is young: something can never be read.',
    unit: 's',
    width: 3,
    levels: badAbove(7_200, 86_400),
    sparkline: false,
    expr: `time() - max(${of('fleet_poll_last_complete_timestamp_seconds')})`,
  }),
  stat({
    title: 'Oldest message',
    description:
      'How long the message has been waiting that waits longest. Above some minutes a receiver takes nothing.',
    unit: 's',
    width: 3,
    levels: badAbove(120, 600),
    expr: `max(${of('fleet_notification_oldest_seconds')})`,
  }),
  stat({
    title: 'Refused messages',
    description:
      'Attempts to deliver that a receiver refused for good, in the time shown: an address or a webhook is gone.',
    unit: 'short',
    decimals: 0,
    width: 3,
    levels: badAboveNothing,
    sparkline: false,
    expr: sum(increaseInRange('fleet_notifications_total', 'outcome="permanent"')),
  }),
  stat({
    title: 'Failed saves',
    description: 'Calls of the database that failed in the time shown. What is not saved is not told.',
    unit: 'short',
    decimals: 0,
    width: 3,
    levels: badAboveNothing,
    sparkline: false,
    expr: sum(increaseInRange('fleet_storage_errors_total')),
  }),
  stat({
    title: 'Configuration in use',
    description:
      'Whether the last reload succeeded. After one that failed, what was read before stays in effect.',
    unit: 'bool_yes_no',
    width: 3,
    levels: badBelow(1, 1),
    words: { 0: 'old: reload failed', 1: 'current' },
    sparkline: false,
    expr: `min(${of('fleet_config_last_reload_successful')})`,
  }),
  stat({
    title: 'Rules that fail',
    description:
      'Rules whose evaluation ended in an error in the time shown: they are wrong for some device.',
    unit: 'short',
    width: 3,
    levels: badAboveNothing,
    sparkline: false,
    expr: `count(${sum(increaseInRange('fleet_rule_evaluation_failures_total'), 'alertname')} > 0) or vector(0)`,
  }),
]

const walks: readonly PanelSpec[] = [
  timeseries({
    title: 'Walks, by how they ended',
    description:
      'Complete: everything was read. Partial: something was not. Failed: the user list was not. Skipped: the walk before still ran.',
    unit: 'short',
    width: 8,
    bars: true,
    stacked: true,
    colors: { complete: 'green', partial: 'yellow', failed: 'red', skipped: 'orange', stopped: 'blue' },
    queries: [{ expr: sum(increase('fleet_polls_total'), 'outcome'), legend: '{{outcome}}' }],
  }),
  timeseries({
    title: 'Length of walks',
    description:
      'Mean length of the walks that ended. When it nears the interval of the schedule, ticks are skipped.',
    unit: 's',
    width: 8,
    queries: [
      {
        expr: `${sum(rate('fleet_poll_duration_seconds_sum'))} / ${sum(rate('fleet_poll_duration_seconds_count'))}`,
        legend: 'mean',
      },
      { expr: quantile(0.95, 'fleet_poll_duration_seconds'), legend: '95th percentile' },
    ],
  }),
  stateTimeline({
    title: 'A walk is under way',
    description: 'How much of the time walks take.',
    unit: 'bool_yes_no',
    width: 8,
    height: 8,
    levels: { base: 'transparent', steps: [[1, 'blue']] },
    words: yesNo,
    queries: [{ expr: `max by (job) (${of('fleet_walk_running')})`, legend: '{{job}}' }],
  }),
  timeseries({
    title: 'Unread, by reason',
    description:
      'Users and devices that could not be read: nothing is known of them, and their alerts stay as they are.',
    unit: 'short',
    width: 8,
    bars: true,
    stacked: true,
    queries: [{ expr: `${sum(increase('fleet_unread_total'), 'reason')} > 0`, legend: '{{reason}}' }],
  }),
  timeseries({
    title: 'Records that were not understood',
    description:
      'Records of the partner that were left out, by what they were. The log says what is wrong with them.',
    unit: 'short',
    width: 8,
    bars: true,
    stacked: true,
    queries: [{ expr: sum(increase('fleet_malformed_total'), 'what'), legend: '{{what}}' }],
  }),
  timeseries({
    title: 'Odd values',
    description:
      'Values of an unexpected type, taken for absent, by field, and instants in the future. A field that appears here at once has changed at the partner.',
    unit: 'short',
    width: 8,
    bars: true,
    stacked: true,
    queries: [
      { expr: `topk(10, ${sum(increase('fleet_odd_fields_total'), 'field')})`, legend: '{{field}}' },
      { expr: sum(increase('fleet_clock_skew_total')), legend: 'instants in the future' },
    ],
  }),
]

const replicas: readonly PanelSpec[] = [
  stateTimeline({
    title: 'Who leads',
    description:
      'The process that has the schedule, the alerts and the messages: one at a time. Alone, it always leads.',
    unit: 'bool_yes_no',
    width: 8,
    height: 8,
    levels: { base: 'transparent', steps: [[1, 'blue']] },
    words: yesNo,
    queries: [{ expr: `max by (instance) (${of('fleet_leader')})`, legend: '{{instance}}' }],
  }),
  timeseries({
    title: 'Processes that share the reading',
    description:
      'Those with the same rules, as the leader counts them; with one process alone, those that answer to Prometheus.',
    unit: 'short',
    width: 8,
    queries: [
      { expr: `max(${of('fleet_replicas')}) or count(${of('fleet_build_info')})`, legend: 'replicas' },
    ],
  }),
  timeseries({
    title: 'Slots, by how they ended',
    description:
      'Parts of walks, of all replicas. Too late: somebody else had it by then. None are made by one process alone.',
    unit: 'short',
    width: 8,
    bars: true,
    stacked: true,
    colors: { found: 'green', too_late: 'yellow', failed: 'red', released: 'blue' },
    queries: [{ expr: sum(increase('fleet_slots_total'), 'outcome'), legend: '{{outcome}}' }],
  }),
]

const partner: readonly PanelSpec[] = [
  timeseries({
    title: 'Requests to the Partner API, by answer',
    description:
      'Retries included. Codes are HTTP statuses, or the kind of failure where there was no answer.',
    unit: 'reqps',
    width: 8,
    stacked: true,
    queries: [{ expr: sum(rate('fleet_partner_requests_total'), 'code'), legend: '{{code}}' }],
  }),
  timeseries({
    title: 'Failed requests',
    description:
      'Share of requests that failed (404 is an answer). The walk retries what is worth it; a few per cent do no harm.',
    unit: 'percentunit',
    width: 8,
    levels: badAbove(0.05, 0.2),
    queries: [{ expr: share(requests(isFailure), requests(), 'endpoint'), legend: '{{endpoint}}' }],
  }),
  timeseries({
    title: 'Time of an answer',
    description: 'How long the Partner API takes, by endpoint: 95th percentile, and the median of all.',
    unit: 's',
    width: 8,
    queries: [
      {
        expr: quantile(0.95, 'fleet_partner_request_duration_seconds', 'endpoint'),
        legend: '{{endpoint}}, 95 %',
      },
      { expr: quantile(0.5, 'fleet_partner_request_duration_seconds'), legend: 'all, median' },
    ],
  }),
  timeseries({
    title: 'Pace',
    description:
      'Requests a second that are allowed at present, and that are made. The limit falls when the partner answers 429 and rises again by itself.',
    unit: 'reqps',
    width: 8,
    queries: [
      { expr: sum(of('fleet_partner_request_rate_limit')), legend: 'allowed' },
      { expr: sum(rate('fleet_partner_requests_total')), legend: 'made' },
    ],
  }),
  timeseries({
    title: 'Throttled',
    description:
      'Share of requests that the partner answered with 429. Lower `partner.requests_per_second` if it stays above 1 %.',
    unit: 'percentunit',
    width: 8,
    levels: badAbove(0.01, 0.05),
    queries: [
      {
        expr: share(requests(throttled), requests()),
        legend: 'throttled',
      },
    ],
  }),
  stateTimeline({
    title: 'The Partner API is left alone',
    description: 'After many failures in a row requests stop for a while, so that the partner can recover.',
    unit: 'bool_yes_no',
    width: 8,
    height: 8,
    levels: badAboveNothing,
    words: yesNo,
    queries: [{ expr: `max by (job) (${of('fleet_partner_circuit_open')})`, legend: '{{job}}' }],
  }),
]

const rules: readonly PanelSpec[] = [
  timeseries({
    title: 'Evaluations that failed, by rule',
    description: 'The rule is wrong for some device. `fleetwarden explain DEVICE` shows where.',
    unit: 'short',
    width: 8,
    bars: true,
    stacked: true,
    queries: [
      {
        expr: `${sum(increase('fleet_rule_evaluation_failures_total'), 'alertname')} > 0`,
        legend: '{{alertname}}',
      },
    ],
  }),
  timeseries({
    title: 'Evaluations that could not be decided, by reason',
    description: 'Unknown is neither healthy nor broken: these move no alert.',
    unit: 'short',
    width: 8,
    bars: true,
    stacked: true,
    queries: [{ expr: sum(increase('fleet_rule_unknown_total'), 'reason'), legend: '{{reason}}' }],
  }),
  table({
    title: 'Undecided, by rule',
    description:
      'Rules that could not be decided in the time shown, and why. `missing_field` for a whole type of device: the rule is not for it.',
    width: 8,
    height: 8,
    keys: [
      ['alertname', 'Rule'],
      ['reason', 'Reason'],
    ],
    sortBy: 'Evaluations',
    columns: [
      {
        title: 'Evaluations',
        unit: 'short',
        isWhole: true,
        expr: `${sum(increaseInRange('fleet_rule_unknown_total'), 'alertname', 'reason')} > 0`,
      },
    ],
  }),
]

const messages: readonly PanelSpec[] = [
  timeseries({
    title: 'Attempts to deliver, by outcome',
    description:
      'What ended with retry, rate_limited or timeout is tried again; permanent is not, and wants a look at the receiver.',
    unit: 'short',
    width: 8,
    bars: true,
    stacked: true,
    colors: { ok: 'green', retry: 'yellow', rate_limited: 'orange', timeout: 'purple', permanent: 'red' },
    queries: [{ expr: sum(increase('fleet_notifications_total'), 'outcome'), legend: '{{outcome}}' }],
  }),
  table({
    title: 'Receivers',
    description:
      'Each way to reach people, in the time shown. Failed attempts without any that worked: nobody is told there.',
    width: 8,
    height: 8,
    keys: [
      ['receiver', 'Receiver'],
      ['integration', 'Integration'],
    ],
    sortBy: 'Failed',
    columns: [
      {
        title: 'Delivered',
        unit: 'short',
        isWhole: true,
        expr: sum(increaseInRange('fleet_notifications_total', 'outcome="ok"'), 'receiver', 'integration'),
      },
      {
        title: 'Failed',
        unit: 'short',
        isWhole: true,
        levels: badAboveNothing,
        expr: sum(increaseInRange('fleet_notifications_total', 'outcome!="ok"'), 'receiver', 'integration'),
      },
      {
        title: 'Template failures',
        unit: 'short',
        isWhole: true,
        levels: badAboveNothing,
        expr: sum(increaseInRange('fleet_template_failures_total'), 'receiver', 'integration'),
      },
    ],
  }),
  timeseries({
    title: 'Time of an attempt',
    description: 'How long attempts to deliver take, by integration: 95th percentile.',
    unit: 's',
    width: 8,
    queries: [
      {
        expr: quantile(0.95, 'fleet_notification_duration_seconds', 'integration'),
        legend: '{{integration}}',
      },
    ],
  }),
  timeseries({
    title: 'Messages that wait',
    description: 'Messages that were decided and not delivered yet. A few for seconds are normal.',
    unit: 'short',
    width: 8,
    queries: [{ expr: sum(of('fleet_notification_queue_length')), legend: 'waiting' }],
  }),
  timeseries({
    title: 'Held back, by reason',
    description:
      'Firing alerts that were held back at a tick of their group. held: by a walk under way, or by a mass change that wants a look.',
    unit: 'short',
    width: 8,
    bars: true,
    stacked: true,
    links: [alertList('List of alerts')],
    queries: [
      { expr: sum(increase('fleet_notifications_suppressed_total'), 'reason'), legend: '{{reason}}' },
    ],
  }),
  timeseries({
    title: 'Signs of life, and messages given up',
    description:
      "Calls of the dead man's switch that arrived and that failed; and messages whose receiver or group is gone. Nothing is sent without `heartbeat.url`.",
    unit: 'short',
    width: 8,
    bars: true,
    colors: { ok: 'green', failed: 'red', 'given up': 'purple' },
    queries: [
      { expr: sum(increase('fleet_heartbeats_total'), 'outcome'), legend: '{{outcome}}' },
      { expr: sum(increase('fleet_notifications_dropped_total')), legend: 'given up' },
    ],
  }),
  timeseries({
    title: 'Groups and what was told',
    description:
      'Groups of alerts that share messages, and what is remembered of what each integration was told.',
    unit: 'short',
    width: 12,
    queries: [
      { expr: `max(${of('fleet_alert_groups')})`, legend: 'groups' },
      { expr: `max(${of('fleet_dedup_entries')})`, legend: 'told entries' },
    ],
  }),
  timeseries({
    title: 'Silences and acknowledgements',
    description: 'What people decided. A number of silences that only grows hides alerts.',
    unit: 'short',
    width: 12,
    queries: [
      { expr: sum(state('fleet_silences', ['state!="expired"']), 'state'), legend: 'silences, {{state}}' },
      { expr: `max(${of('fleet_acknowledgements')})`, legend: 'acknowledgements' },
    ],
  }),
]

const access: readonly PanelSpec[] = [
  timeseries({
    title: 'Fresh links, by outcome',
    description:
      'Links that the partner was asked for when somebody pressed the button. refused_host: one led to where `links.allowed_hosts` does not; failed: the partner gave none; not_recorded: the audit trail took nothing.',
    unit: 'short',
    width: 6,
    bars: true,
    stacked: true,
    colors: { ok: 'green', failed: 'red', refused_host: 'purple', not_recorded: 'orange' },
    queries: [{ expr: sum(increase('fleet_links_minted_total'), 'outcome'), legend: '{{outcome}}' }],
  }),
  timeseries({
    title: 'Refused requests, by reason',
    description:
      'Requests that were refused because of who or what asked. A few a minute, all the time: a tool whose token is wrong or has expired. Very many at once: somebody tries.',
    unit: 'short',
    width: 6,
    bars: true,
    stacked: true,
    queries: [{ expr: `${sum(increase('fleet_access_denied_total'), 'reason')} > 0`, legend: '{{reason}}' }],
  }),
  timeseries({
    title: 'Audit trail',
    description:
      'Records that were added, by result, and those that could not be: then nobody can change anything, and no link is fetched.',
    unit: 'short',
    width: 6,
    bars: true,
    stacked: true,
    colors: { begun: 'blue', ok: 'green', denied: 'yellow', failed: 'orange', 'not recorded': 'red' },
    queries: [
      { expr: sum(increase('fleet_audit_records_total'), 'result'), legend: '{{result}}' },
      { expr: sum(increase('fleet_audit_failures_total')), legend: 'not recorded' },
    ],
  }),
  timeseries({
    title: 'Lost lines of the log of requests',
    description:
      'Lines of `partner_log` that could not be written. Nothing else suffers; the disk or its folder wants a look. Always 0 without the log.',
    unit: 'short',
    width: 6,
    bars: true,
    colors: { lost: 'red' },
    queries: [{ expr: sum(increase('fleet_partner_log_dropped_total')), legend: 'lost' }],
  }),
]

const process: readonly PanelSpec[] = [
  timeseries({
    title: 'Size of the database',
    description: 'It grows with the alerts and with what was told, not with the fleet.',
    unit: 'bytes',
    width: 8,
    queries: [{ expr: `max by (instance) (${of('fleet_storage_bytes')})`, legend: '{{instance}}' }],
  }),
  timeseries({
    title: 'Failed saves, by kind',
    description:
      'Kind full: make room on the disk. Nothing is told that is not saved; it goes on by itself afterwards.',
    unit: 'short',
    width: 8,
    bars: true,
    stacked: true,
    queries: [{ expr: sum(increase('fleet_storage_errors_total'), 'kind'), legend: '{{kind}}' }],
  }),
  table({
    title: 'What runs',
    description: 'Each process, its version, and how long it has been running and used this configuration.',
    width: 8,
    height: 8,
    keys: [
      ['instance', 'Instance'],
      ['version', 'Version'],
      ['revision', 'Revision'],
      ['node_version', 'Node.js'],
    ],
    sortBy: 'Runs for',
    columns: [
      {
        title: 'Runs for',
        unit: 's',
        expr: withBuild(`time() - ${of('process_start_time_seconds')}`),
      },
      {
        title: 'Configuration',
        unit: 's',
        expr: withBuild(`time() - ${of('fleet_config_last_reload_success_timestamp_seconds')}`),
      },
      {
        title: 'Database recovered',
        unit: 'bool_yes_no',
        levels: badAboveNothing,
        expr: withBuild(of('fleet_storage_recovered')),
      },
    ],
  }),
  timeseries({
    title: 'CPU',
    description:
      'Cores in use. The evaluation of rules is on one core: near 1 for minutes, walks become longer.',
    unit: 'short',
    width: 6,
    queries: [{ expr: sum(rate('process_cpu_seconds_total'), 'instance'), legend: '{{instance}}' }],
  }),
  timeseries({
    title: 'Memory',
    description:
      'Resident memory, and the part of it that JavaScript uses. It grows with the number of alerts.',
    unit: 'bytes',
    width: 6,
    queries: [
      { expr: sum(of('process_resident_memory_bytes'), 'instance'), legend: '{{instance}}, resident' },
      { expr: sum(of('nodejs_heap_size_used_bytes'), 'instance'), legend: '{{instance}}, heap' },
    ],
  }),
  timeseries({
    title: 'Event loop lag',
    description:
      'How late timers are: 99th percentile. Above a second, requests of people and of Prometheus wait.',
    unit: 's',
    width: 6,
    levels: badAbove(0.2, 1),
    queries: [
      { expr: `max by (instance) (${of('nodejs_eventloop_lag_p99_seconds')})`, legend: '{{instance}}' },
    ],
  }),
  timeseries({
    title: 'Garbage collection',
    description: 'Share of the time that is spent on it, by kind. Above 10 % the process is short of memory.',
    unit: 'percentunit',
    width: 6,
    queries: [{ expr: sum(rate('nodejs_gc_duration_seconds_sum'), 'kind'), legend: '{{kind}}' }],
  }),
]

/** With the version of the process that tells it. */
function withBuild(query: string): string {
  return `max by (instance, version, revision, node_version) ((${query}) * on (job, instance) group_left (version, revision, node_version) ${of('fleet_build_info')})`
}

const rows: readonly Row[] = [
  { title: 'Now', panels: now },
  { title: 'Walks', panels: walks },
  { title: 'Replicas', panels: replicas },
  { title: 'Partner API', panels: partner },
  { title: 'Rules', panels: rules },
  { title: 'Messages', panels: messages },
  { title: 'Links, access and audit trail', panels: access },
  { title: 'Database and process', panels: process },
]

export const fleetwardenItself = createDashboard({
  uid: dashboards.service,
  title: 'Fleetwarden itself',
  description: 'Does Fleetwarden see the fleet, does it reach people, and is it well.',
  from: 'now-6h',
  variables: [],
  annotations: [
    {
      name: 'Start',
      color: 'blue',
      expr: `${sum(`changes(${of('process_start_time_seconds')}[$__rate_interval])`, 'instance')} > 0`,
      title: 'Started',
      text: '{{instance}} was started',
    },
    {
      name: 'Partner API unavailable',
      color: 'purple',
      expr: `${sum(state('fleet_alerts', ['alertname="PartnerApiUnavailable"', 'state=~"firing|recovering"']), 'job')} > 0`,
      title: 'The Partner API was unavailable',
      text: 'Nothing was known of the fleet: alerts stayed as they were',
    },
  ],
  rows,
})
