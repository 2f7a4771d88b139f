// Manufacturer: one of them in depth. Is it the manufacturer or the customers, since when, and is it
// worse than elsewhere.

import {
  alertList,
  compareVariable,
  createDashboard,
  dashboards,
  dashboardUrl,
  labelVariable,
  type Row,
} from './dashboard.ts'
import { funnelQueries, stageColors, stagesInWords, visitsOverTime } from './link-funnel.ts'
import { badAboveNothing, badBelow, funnel, type PanelSpec, ranking, stat, timeseries } from './panel.ts'
import { share, state, sum } from './query.ts'

const chosen = ['manufacturer="$manufacturer"', 'type=~"$type"']
const devices = (...matchers: readonly string[]) => state('fleet_devices', [...chosen, ...matchers])
const devicesEarlier = (...matchers: readonly string[]) =>
  state('fleet_devices', [...chosen, ...matchers], { offset: '$compare' })
const others = (...matchers: readonly string[]) =>
  state('fleet_devices', ['manufacturer!="$manufacturer"', 'type=~"$type"', ...matchers])
const everybody = (...matchers: readonly string[]) => state('fleet_devices', ['type=~"$type"', ...matchers])
const alerts = (...matchers: readonly string[]) =>
  state('fleet_manufacturer_alerts', ['manufacturer="$manufacturer"', 'device_type=~"$type"', ...matchers])

const connected = 'authenticated="true"'
const notConnected = 'authenticated="false"'
const connectionKnown = 'authenticated=~"true|false"'
const optimised = 'optimizing="true"'
const optimisationKnown = 'optimizing=~"true|false"'
const outage = 'alertname="ManufacturerOutage"'
const itsAlerts = alertList('Its alerts', 'manufacturer=${manufacturer:percentencode}')
const toFleet = { title: 'Fleet health', url: dashboardUrl('fleet') }

const now: readonly PanelSpec[] = [
  stat({
    title: 'Outage',
    description:
      'Whether ManufacturerOutage fires: many of its devices are disconnected at once. Do not ask customers to log in again until it is over.',
    unit: 'bool_yes_no',
    width: 4,
    levels: badAboveNothing,
    words: { 0: 'no', 1: 'yes' },
    links: [itsAlerts],
    sparkline: false,
    expr: `clamp_max(${sum(alerts(outage))}, 1) or vector(0)`,
  }),
  stat({
    title: 'Devices',
    description: 'Its devices that the last walk read.',
    unit: 'short',
    width: 4,
    expr: sum(devices()),
  }),
  stat({
    title: 'Connected',
    description: 'Share of its devices whose login is valid, of those that tell.',
    unit: 'percentunit',
    decimals: 1,
    width: 4,
    levels: badBelow(0.8, 0.95),
    expr: share(devices(connected), devices(connectionKnown)),
  }),
  stat({
    title: 'Connected, change',
    description: 'How many percentage points more or fewer are connected than at the time to compare with.',
    unit: 'percentunit',
    decimals: 1,
    width: 4,
    levels: {
      base: 'red',
      steps: [
        [-0.05, 'yellow'],
        [-0.01, 'green'],
      ],
    },
    sparkline: false,
    expr: `${share(devices(connected), devices(connectionKnown))} - ${share(devicesEarlier(connected), devicesEarlier(connectionKnown))}`,
  }),
  stat({
    title: 'Optimised',
    description: 'Share of its devices whose optimisation is active, of those that tell.',
    unit: 'percentunit',
    decimals: 1,
    width: 4,
    levels: badBelow(0.6, 0.8),
    expr: share(devices(optimised), devices(optimisationKnown)),
  }),
  stat({
    title: 'Alerts',
    description: 'Alerts of its devices that fire. Click for the list.',
    unit: 'short',
    width: 4,
    links: [itsAlerts],
    expr: `${sum(alerts())} or vector(0)`,
  }),
]

const connection: readonly PanelSpec[] = [
  timeseries({
    title: 'Connected, beside all others',
    description:
      'Share of devices whose login is valid. Both fall: look at the Partner API. Only this one falls: it is the manufacturer.',
    unit: 'percentunit',
    width: 12,
    max: 1,
    softMin: 0.8,
    colors: { 'all others': 'text' },
    queries: [
      { expr: share(devices(connected), devices(connectionKnown)), legend: '$manufacturer' },
      { expr: share(others(connected), others(connectionKnown)), legend: 'all others' },
    ],
  }),
  timeseries({
    title: 'Not connected, by type',
    description:
      'A step is an outage or a change at the manufacturer; a slow rise is customers who do not log in again.',
    unit: 'short',
    width: 12,
    stacked: true,
    links: [itsAlerts],
    queries: [{ expr: sum(devices(notConnected), 'type'), legend: '{{type}}' }],
  }),
  timeseries({
    title: 'Optimised, beside all others',
    description:
      'Share of devices whose optimisation is active. Connected but not optimised is a matter of settings or of steering.',
    unit: 'percentunit',
    width: 8,
    max: 1,
    softMin: 0.8,
    colors: { 'all others': 'text' },
    queries: [
      { expr: share(devices(optimised), devices(optimisationKnown)), legend: '$manufacturer' },
      { expr: share(others(optimised), others(optimisationKnown)), legend: 'all others' },
    ],
  }),
  timeseries({
    title: 'Devices, by type',
    description: 'Its devices that each walk read.',
    unit: 'short',
    width: 8,
    stacked: true,
    queries: [{ expr: sum(devices(), 'type'), legend: '{{type}}' }],
  }),
  timeseries({
    title: 'Devices, by what is known',
    description:
      'Whether the login is valid, and whether optimisation is active. "unknown": the partner does not tell.',
    unit: 'short',
    width: 8,
    stacked: true,
    queries: [
      {
        expr: sum(devices(), 'authenticated', 'optimizing'),
        legend: 'connected: {{authenticated}}, optimised: {{optimizing}}',
      },
    ],
  }),
]

const alerting: readonly PanelSpec[] = [
  timeseries({
    title: 'Alerts, by rule',
    description: 'Alerts of its devices that fire.',
    unit: 'short',
    width: 12,
    stacked: true,
    links: [itsAlerts],
    queries: [{ expr: sum(alerts(), 'alertname'), legend: '{{alertname}}' }],
  }),
  timeseries({
    title: 'Alerts per 1,000 devices, beside all others',
    description: 'Whether its devices need more help than others do.',
    unit: 'short',
    width: 12,
    colors: { 'all others': 'text' },
    queries: [
      { expr: `1000 * ${sum(alerts())} / ${sum(devices())}`, legend: '$manufacturer' },
      {
        expr: `1000 * ${sum(state('fleet_manufacturer_alerts', ['manufacturer!="$manufacturer"', 'device_type=~"$type"']))} / ${sum(others())}`,
        legend: 'all others',
      },
    ],
  }),
]

const isIts = 'manufacturer="$manufacturer"'
const reconnecting: readonly PanelSpec[] = [
  funnel({
    title: 'How far its customers come with a link',
    description: `In the time shown, of all types of devices. ${stagesInWords} Where the numbers fall, people give up.`,
    unit: 'short',
    decimals: 0,
    width: 6,
    colors: stageColors,
    queries: funnelQueries(isIts),
  }),
  funnel({
    title: 'The same, of all others',
    description:
      'To compare with: where both fall alike it is our page or the partner; where only this manufacturer falls it is its sign-in.',
    unit: 'short',
    decimals: 0,
    width: 6,
    links: [toFleet],
    colors: stageColors,
    queries: funnelQueries('manufacturer!="$manufacturer"'),
  }),
  timeseries({
    title: 'Links over time',
    description: `${stagesInWords} Many that start while it has an outage: they come in vain.`,
    unit: 'short',
    width: 12,
    bars: true,
    colors: stageColors,
    queries: [visitsOverTime(isIts)],
  }),
]

const among: readonly PanelSpec[] = [
  ranking({
    title: 'Least connected manufacturers',
    description:
      'The share of devices that are not connected, the fifteen highest, of manufacturers with at least 5 devices.',
    unit: 'percentunit',
    width: 12,
    height: 10,
    links: [toFleet],
    levels: {
      base: 'green',
      steps: [
        [0.05, 'yellow'],
        [0.2, 'red'],
      ],
    },
    expr: `topk(15, ${sum(everybody(notConnected), 'manufacturer')} / (${sum(everybody(connectionKnown), 'manufacturer')} >= 5))`,
    legend: '{{manufacturer}}',
  }),
  ranking({
    title: 'Most alerts per 1,000 devices',
    description: 'The fifteen manufacturers whose devices need help most often.',
    unit: 'short',
    width: 12,
    height: 10,
    links: [toFleet],
    expr: `topk(15, 1000 * ${sum(state('fleet_manufacturer_alerts', ['device_type=~"$type"']), 'manufacturer')} / ${sum(everybody(), 'manufacturer')})`,
    legend: '{{manufacturer}}',
  }),
]

const rows: readonly Row[] = [
  { title: '$manufacturer now', panels: now },
  { title: 'Connection and optimisation', panels: connection },
  { title: 'Alerts', panels: alerting },
  { title: 'Reconnection', panels: reconnecting },
  { title: 'Among all manufacturers', panels: among },
]

export const manufacturer = createDashboard({
  uid: dashboards.manufacturer,
  title: 'Manufacturer',
  description:
    'One manufacturer in depth: is it the manufacturer or its customers, since when, and is it worse than elsewhere.',
  from: 'now-7d',
  variables: [
    labelVariable({
      name: 'manufacturer',
      label: 'Manufacturer',
      description: 'As the Partner API names it.',
      query: 'label_values(fleet_devices{job=~"$job"}, manufacturer)',
      multi: false,
    }),
    labelVariable({
      name: 'type',
      label: 'Type',
      description: 'Types of its devices.',
      query: 'label_values(fleet_devices{job=~"$job",manufacturer="$manufacturer"}, type)',
      multi: true,
    }),
    compareVariable,
  ],
  annotations: [
    {
      name: 'Outage',
      color: 'red',
      expr: `${sum(alerts(outage), 'device_type')} > 0`,
      title: 'Outage',
      text: 'Many {{device_type}} devices are disconnected at once',
    },
  ],
  rows,
})
