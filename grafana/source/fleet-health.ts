// Fleet health: is the fleet connected and optimised, what fires, and what got worse.

import {
  alertList,
  compareVariable,
  createDashboard,
  dashboards,
  dashboardUrl,
  labelVariable,
  type Row,
} from './dashboard.ts'
import { funnelQueries, stageColors, stageInRange, stagesInWords } from './link-funnel.ts'
import {
  badAbove,
  badAboveNothing,
  badBelow,
  type Column,
  funnel,
  type PanelSpec,
  ranking,
  stat,
  table,
  timeseries,
} from './panel.ts'
import { highest, increase, increaseInRange, isFiring, of, part, share, state, sum } from './query.ts'

const chosen = ['type=~"$type"']
const devices = (...matchers: readonly string[]) => state('fleet_devices', [...chosen, ...matchers])
const devicesEarlier = (...matchers: readonly string[]) =>
  state('fleet_devices', [...chosen, ...matchers], { offset: '$compare' })
const connected = 'authenticated="true"'
const notConnected = 'authenticated="false"'
const connectionKnown = 'authenticated=~"true|false"'
const optimised = 'optimizing="true"'
const optimisationKnown = 'optimizing=~"true|false"'
const alerts = (...matchers: readonly string[]) => state('fleet_alerts', matchers)
const firing = (...matchers: readonly string[]) => alerts(isFiring, ...matchers)
const reconnection = 'alertname=~"DeviceUnauthenticated|DeviceActionPending"'

const toFleetwarden = { title: 'Fleetwarden itself', url: dashboardUrl('service') }
const toManufacturer = {
  title: 'This manufacturer in depth',
  url: dashboardUrl('manufacturer', ['var-manufacturer=${__data.fields.Manufacturer:percentencode}']),
}
const toSeries = {
  title: 'Manufacturers in depth',
  url: dashboardUrl('manufacturer'),
}

const now: readonly PanelSpec[] = [
  stat({
    title: 'Devices',
    description:
      'Devices that the last walk read. Those that could not be read are missing here until they can.',
    unit: 'short',
    width: 4,
    expr: sum(devices()),
  }),
  stat({
    title: 'Connected',
    description:
      'Share of devices whose login is valid, of those that tell. The rest are neither read nor steered until their customers log in again.',
    unit: 'percentunit',
    decimals: 1,
    width: 4,
    levels: badBelow(0.9, 0.97),
    expr: share(devices(connected), devices(connectionKnown)),
  }),
  stat({
    title: 'Optimised',
    description:
      'Share of devices whose optimisation is active, of those that tell. Customers may switch it off, so it never reaches 100 %.',
    unit: 'percentunit',
    decimals: 1,
    width: 4,
    levels: badBelow(0.7, 0.85),
    expr: share(devices(optimised), devices(optimisationKnown)),
  }),
  stat({
    title: 'Alerts',
    description: 'Alerts that fire, of all rules and severities. Click for the list.',
    unit: 'short',
    width: 4,
    links: [alertList('List of alerts')],
    expr: sum(firing()),
  }),
  stat({
    title: 'Critical alerts',
    description: 'What cannot wait until the morning: outages, and Fleetwarden not seeing the fleet.',
    unit: 'short',
    width: 4,
    levels: badAboveNothing,
    links: [alertList('List of critical alerts', 'severity=critical')],
    expr: sum(firing('severity="critical"')),
  }),
  stat({
    title: 'Last read',
    description:
      'How long ago a walk read the fleet. Everything on this page is as old as that. Beyond half an hour, look at Fleetwarden itself.',
    unit: 's',
    width: 4,
    levels: badAbove(1_200, 1_800),
    links: [toFleetwarden],
    sparkline: false,
    expr: `time() - max(${of('fleet_poll_last_success_timestamp_seconds')})`,
  }),
]

const fleet: readonly PanelSpec[] = [
  timeseries({
    title: 'Connected, by type',
    description:
      'Share of devices whose login is valid. A step down of one type is most often a manufacturer: see the table below.',
    unit: 'percentunit',
    width: 12,
    max: 1,
    softMin: 0.8,
    queries: [{ expr: share(devices(connected), devices(connectionKnown), 'type'), legend: '{{type}}' }],
  }),
  timeseries({
    title: 'Optimised, by type',
    description:
      'Share of devices whose optimisation is active. A slow decline is customers who switch it off.',
    unit: 'percentunit',
    width: 12,
    max: 1,
    softMin: 0.8,
    queries: [{ expr: share(devices(optimised), devices(optimisationKnown), 'type'), legend: '{{type}}' }],
  }),
  timeseries({
    title: 'Devices, by type',
    description: 'Devices that each walk read. A gap downwards is an incomplete walk, not a smaller fleet.',
    unit: 'short',
    width: 6,
    stacked: true,
    queries: [{ expr: sum(devices(), 'type'), legend: '{{type}}' }],
  }),
  timeseries({
    title: 'Not connected, by manufacturer',
    description: 'The ten manufacturers with the most devices that lost their login.',
    unit: 'short',
    width: 6,
    stacked: true,
    links: [toSeries, alertList('List of lost connections', 'alertname=DeviceUnauthenticated')],
    queries: [
      {
        expr: highest(10, 'fleet_devices', [...chosen, notConnected], 'manufacturer'),
        legend: '{{manufacturer}}',
      },
    ],
  }),
  timeseries({
    title: 'Users',
    description: 'Users that the last walk listed, with or without devices.',
    unit: 'short',
    width: 6,
    queries: [{ expr: sum(state('fleet_users')), legend: 'users' }],
  }),
  timeseries({
    title: 'Users who are moved over, by step',
    description:
      'Users who come from another system, by the last step that is done. Those who stay before done for long raise UserMigrationStuck. Always 0 without a migration.',
    unit: 'short',
    width: 6,
    stacked: true,
    links: [alertList('List of those who are stuck', 'alertname=UserMigrationStuck')],
    queries: [{ expr: sum(state('fleet_migration_users'), 'step'), legend: '{{step}}' }],
  }),
  table({
    title: 'Manufacturers',
    description:
      'All manufacturers, the one with the most alerts first. A name leads to its own dashboard. Very small ones are counted together as "other".',
    width: 24,
    height: 10,
    keys: [['manufacturer', 'Manufacturer']],
    sortBy: 'Alerts',
    keyLink: toManufacturer,
    columns: [
      { title: 'Devices', unit: 'short', expr: sum(devices(), 'manufacturer') },
      {
        title: 'Connected',
        unit: 'percentunit',
        levels: badBelow(0.8, 0.95),
        expr: share(devices(connected), devices(connectionKnown), 'manufacturer'),
      },
      {
        title: 'Not connected',
        unit: 'short',
        expr: part(devices(notConnected), devices(), 'manufacturer'),
      },
      {
        title: 'Optimised',
        unit: 'percentunit',
        levels: badBelow(0.6, 0.8),
        expr: share(devices(optimised), devices(optimisationKnown), 'manufacturer'),
      },
      {
        title: 'Alerts',
        unit: 'short',
        expr: part(state('fleet_manufacturer_alerts', ['device_type=~"$type"']), devices(), 'manufacturer'),
      },
    ],
  }),
]

const worse: readonly PanelSpec[] = [
  stat({
    title: 'Devices, change',
    description:
      'Devices now, less those at the time to compare with. A large minus without a reason is devices that vanished.',
    unit: 'short',
    width: 4,
    height: 8,
    sparkline: false,
    expr: `${sum(devices())} - ${sum(devicesEarlier())}`,
  }),
  ranking({
    title: 'Rules with more alerts than before',
    description:
      'How many more alerts of a rule fire than at the time to compare with. Empty when nothing got worse.',
    unit: 'short',
    width: 10,
    links: [alertList('List of alerts')],
    expr: `topk(10, (${sum(firing(), 'alertname')} - ${sum(state('fleet_alerts', [isFiring], { offset: '$compare' }), 'alertname')}) > 0)`,
    legend: '{{alertname}}',
  }),
  ranking({
    title: 'Manufacturers that lost connections',
    description:
      'How many more devices of a manufacturer are not connected than at the time to compare with. Empty when nothing got worse.',
    unit: 'short',
    width: 10,
    links: [toSeries],
    expr: `topk(10, (${sum(devices(notConnected), 'manufacturer')} - (${sum(devicesEarlier(notConnected), 'manufacturer')} or 0 * ${sum(devices(notConnected), 'manufacturer')})) > 0)`,
    legend: '{{manufacturer}}',
  }),
]

const alerting: readonly PanelSpec[] = [
  timeseries({
    title: 'Alerts, by rule',
    description: 'Alerts that fire. Many rules that rise at once have one cause: look for an outage first.',
    unit: 'short',
    width: 12,
    stacked: true,
    links: [alertList('List of alerts')],
    queries: [{ expr: `${sum(firing(), 'alertname')} > 0`, legend: '{{alertname}}' }],
  }),
  timeseries({
    title: 'Alerts that began and ended',
    description: 'Up: alerts that began to fire. Down: alerts that ended.',
    unit: 'short',
    width: 12,
    bars: true,
    down: ['ended'],
    colors: { began: 'orange', ended: 'green' },
    queries: [
      { expr: sum(increase('fleet_alert_transitions_total', 'to="firing"')), legend: 'began' },
      { expr: sum(increase('fleet_alert_transitions_total', 'to="resolved"')), legend: 'ended' },
    ],
  }),
  table({
    title: 'Rules',
    description:
      'Each rule: what fires, what waits for its `for`, and what began and ended in the time shown. A rule that begins and ends far more often than others wants a longer `for`.',
    width: 14,
    keys: [['alertname', 'Rule']],
    sortBy: 'Firing',
    keyLink: alertList('Alerts of this rule', 'alertname=${__data.fields.Rule:percentencode}'),
    columns: [
      { title: 'Firing', unit: 'short', expr: sum(firing(), 'alertname') },
      { title: 'Pending', unit: 'short', expr: sum(alerts('state="pending"'), 'alertname') },
      {
        title: 'Began',
        unit: 'short',
        isWhole: true,
        expr: sum(increaseInRange('fleet_alert_transitions_total', 'to="firing"'), 'alertname'),
      },
      {
        title: 'Ended',
        unit: 'short',
        isWhole: true,
        expr: sum(increaseInRange('fleet_alert_transitions_total', 'to="resolved"'), 'alertname'),
      },
    ],
  }),
  timeseries({
    title: 'Alerts, by state',
    description:
      'Pending ones wait for their `for`, recovering ones for their `keep_firing_for`; neither is told as new.',
    unit: 'short',
    width: 10,
    height: 9,
    stacked: true,
    queries: [{ expr: sum(alerts('state!="resolved"'), 'state'), legend: '{{state}}' }],
  }),
]

const reconnecting: readonly PanelSpec[] = [
  stat({
    title: 'Waiting for their customer',
    description: 'Devices whose customer has to log in again or to do something else.',
    unit: 'short',
    width: 4,
    height: 8,
    links: [alertList('List of lost connections', 'alertname=DeviceUnauthenticated')],
    expr: sum(firing(reconnection)),
  }),
  stat({
    title: 'Reconnected',
    description: 'Connections that were lost and are back, verified by a reading, in the time shown.',
    unit: 'short',
    decimals: 0,
    width: 4,
    height: 8,
    sparkline: false,
    expr: sum(
      increaseInRange('fleet_alert_transitions_total', reconnection, 'to="resolved"', 'reason="condition"'),
    ),
  }),
  timeseries({
    title: 'Lost and reconnected',
    description:
      'Up: connections that were lost. Down: those that came back. More up than down for days is a backlog.',
    unit: 'short',
    width: 16,
    height: 8,
    bars: true,
    down: ['reconnected'],
    colors: { lost: 'orange', reconnected: 'green' },
    queries: [
      { expr: sum(increase('fleet_alert_transitions_total', reconnection, 'to="firing"')), legend: 'lost' },
      {
        expr: sum(
          increase('fleet_alert_transitions_total', reconnection, 'to="resolved"', 'reason="condition"'),
        ),
        legend: 'reconnected',
      },
    ],
  }),
  funnel({
    title: 'How far people come with a link',
    description: `In the time shown, of all types of devices. ${stagesInWords} Where the numbers fall, people give up.`,
    unit: 'short',
    decimals: 0,
    width: 8,
    height: 9,
    colors: stageColors,
    queries: funnelQueries(),
  }),
  table({
    title: 'Links, by manufacturer',
    description:
      'The same by manufacturer. Far fewer that return than with others: its sign-in is where people give up. Many that fail: they come back and it does not help, which is for Podero. A name leads to its own dashboard.',
    width: 16,
    keys: [['manufacturer', 'Manufacturer']],
    sortBy: 'Started',
    keyLink: toManufacturer,
    columns: [
      linkColumn('Shown', 'shown'),
      linkColumn('Started', 'started'),
      linkColumn('Returned', 'returned'),
      linkColumn('Verified', 'verified'),
      linkColumn('Failed', 'failed'),
      linkColumn('Cancelled', 'cancelled'),
    ],
  }),
]

function linkColumn(title: string, stage: Parameters<typeof stageInRange>[0]): Column {
  return { title, unit: 'short', isWhole: true, expr: sum(stageInRange(stage), 'manufacturer') }
}

const owners: readonly PanelSpec[] = [
  timeseries({
    title: 'Mail to owners',
    description:
      'Attempts, by how they ended. Retry: the mail server was away, and it is tried again. Failed: refused for good, and staff is told.',
    unit: 'short',
    width: 6,
    bars: true,
    stacked: true,
    colors: { sent: 'green', retry: 'yellow', failed: 'red' },
    queries: [
      {
        expr: sum(increase('fleet_owner_mails_total', 'outcome=~"sent|retry|failed"'), 'outcome'),
        legend: '{{outcome}}',
      },
    ],
  }),
  timeseries({
    title: 'Owners who are not written to, by reason',
    description:
      'Alerts whose owner gets no mail at present, once for each reason. Those for an outage, quiet hours or something unread are looked at again.',
    unit: 'short',
    width: 6,
    bars: true,
    stacked: true,
    queries: [
      {
        expr: `${sum(increase('fleet_owner_mails_total', 'outcome=~"skipped_.*"'), 'outcome')} > 0`,
        legend: '{{outcome}}',
      },
    ],
  }),
  timeseries({
    title: 'Alerts that went on to staff, by reason',
    description:
      'Of those that an owner could have put right. Much no_answer: the mail does not help. Much no_address or refused: addresses in the back office want care.',
    unit: 'short',
    width: 6,
    bars: true,
    stacked: true,
    links: [alertList('List of what owners did not do', 'alertname=OwnerDidNothing')],
    queries: [{ expr: sum(increase('fleet_owner_handovers_total'), 'reason'), legend: '{{reason}}' }],
  }),
  timeseries({
    title: 'Owners who were written to',
    description:
      'By whether they still may be. Unsubscribed ones that grow as fast as the others: people are written to too often, or do not know who writes.',
    unit: 'short',
    width: 6,
    stacked: true,
    colors: { subscribed: 'green', unsubscribed: 'orange' },
    queries: [{ expr: sum(state('fleet_owner_contacts'), 'state'), legend: '{{state}}' }],
  }),
]

const rows: readonly Row[] = [
  { title: 'Now', panels: now },
  { title: 'What got worse', panels: worse },
  { title: 'The fleet', panels: fleet },
  { title: 'Alerts', panels: alerting },
  { title: 'Reconnection', panels: reconnecting },
  { title: 'Mail to owners', panels: owners },
]

export const fleetHealth = createDashboard({
  uid: dashboards.fleet,
  title: 'Fleet health',
  description: 'Is the fleet connected and optimised, what fires, and what got worse since yesterday.',
  from: 'now-24h',
  variables: [
    labelVariable({
      name: 'type',
      label: 'Type',
      description: 'Types of devices. Alerts by rule and links are those of all types.',
      query: 'label_values(fleet_devices{job=~"$job"}, type)',
      multi: true,
    }),
    compareVariable,
  ],
  annotations: [
    {
      name: 'Outage of a manufacturer',
      color: 'red',
      expr: `${sum(state('fleet_manufacturer_alerts', ['alertname="ManufacturerOutage"']), 'manufacturer', 'device_type')} > 0`,
      title: 'Outage of {{manufacturer}}',
      text: 'Many {{device_type}} devices are disconnected at once',
    },
    {
      name: 'Partner API unavailable',
      color: 'purple',
      expr: `${sum(firing('alertname="PartnerApiUnavailable"'), 'job')} > 0`,
      title: 'The Partner API was unavailable',
      text: 'Nothing was known of the fleet: alerts stayed as they were',
    },
  ],
  rows,
})
