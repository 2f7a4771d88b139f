// What the simulated fleet is made of: manufacturers, models, people and places. Names of
// manufacturers are real so that the demo reads like a real fleet; nothing here says anything about
// their products. Some people's names are there to break markup, and a few models carry umlauts.

import type { DeviceType } from '../fleet/device.ts'

export interface Manufacturer {
  readonly name: string
  readonly cloudService: string
  readonly models: readonly string[]
}

export const manufacturers: Readonly<Record<DeviceType, readonly Manufacturer[]>> = {
  heat_pump: [
    maker('Vaillant', 'myVAILLANT', ['aroTHERM plus VWL 75/6', 'aroTHERM plus VWL 125/6', 'flexoTHERM']),
    maker('Viessmann', 'ViCare', ['Vitocal 250-A', 'Vitocal 200-S']),
    maker('Daikin', 'Onecta', ['Altherma 3 H HT', 'Altherma 3 R']),
    maker('NIBE', 'myUplink', ['S2125-12', 'F1255 PC', 'SMO S40']),
    maker('Stiebel Eltron', 'ServiceWelt', ['WPL-A 07 HK 230 Premium', 'WPL 25 AC']),
    maker('Bosch', 'HomeCom Easy', ['Compress 7000i AW', 'Compress 5800i AW']),
    maker('Wolf', 'Smartset', ['CHA-07 "Monoblock"', 'CHA-10']),
    maker('Mitsubishi Electric', 'MELCloud', ['Ecodan PUZ-WM85', 'Ecodan PUHZ-SHW112']),
    maker('Panasonic', 'Comfort Cloud', ['Aquarea T-CAP', 'Aquarea High Performance']),
    maker('IDM', 'myIDM', ['AERO ALM 4-12', 'TERRA SW 8']),
    maker('Ölschläger & Söhne', 'Wärmeportal', ['Öko-Wärmepumpe <8 kW>', 'Großwärme 20']),
  ],
  electric_vehicle: [
    maker('Tesla', 'Tesla', ['Model 3', 'Model Y', 'Model S']),
    maker('Volkswagen', 'WeConnect', ['ID.3', 'ID.4', 'ID. Buzz']),
    maker('BMW', 'ConnectedDrive', ['i4 eDrive40', 'iX1', 'i3 120 Ah']),
    maker('Renault', 'My Renault', ['Mégane E-Tech', 'Zoe R135', '5 E-Tech']),
    maker('Hyundai', 'Bluelink', ['IONIQ 5', 'KONA Elektro']),
    maker('Kia', 'Kia Connect', ['EV6', 'Niro EV']),
    maker('Škoda', 'MyŠkoda', ['Enyaq 85', 'Elroq 60']),
    maker('Mercedes-Benz', 'Mercedes me', ['EQA 250+', 'EQB 300']),
    maker('Audi', 'myAudi', ['Q4 e-tron', 'A6 e-tron']),
    maker('Volvo', 'Volvo Cars', ['EX30', 'EX40']),
    maker('Polestar', 'Polestar', ['2', '4']),
  ],
  inverter: [
    maker('Fronius', 'Solar.web', ['Symo GEN24 10.0 Plus', 'Primo GEN24 6.0', 'Verto 25']),
    maker('SMA', 'Sunny Portal', ['Sunny Tripower X 12', 'Sunny Boy Storage 5.0']),
    maker('Huawei', 'FusionSolar', ['SUN2000-10KTL-M1', 'SUN2000-6KTL-L1']),
    maker('Kostal', 'Solar Portal', ['PLENTICORE plus 8.5', 'PIKO MP plus']),
    maker('SolarEdge', 'SolarEdge', ['SE10K Home Hub', 'SE5000H']),
    maker('Sungrow', 'iSolarCloud', ['SH10RT', 'SG8.0RT']),
    maker('Growatt', 'ShineServer', ['MOD 10KTL3-XH', 'MIN 6000TL-X']),
    maker('GoodWe', 'SEMS', ['GW10K-ET', 'GW6000-EH']),
    maker('E3/DC', 'my E3/DC', ['S10 X', 'S20 X PRO']),
    maker('Enphase', 'Enlighten', ['IQ8+', 'IQ Battery 5P']),
  ],
  wallbox: [
    maker('go-e', 'go-e Cloud', ['Charger Gemini flex 22 kW', 'Charger PRO']),
    maker('KEBA', 'KEBA eMobility', ['KeContact P30 x', 'KeContact P40']),
    maker('Easee', 'Easee', ['Charge', 'Home']),
    maker('Zaptec', 'Zaptec Portal', ['Go', 'Pro']),
    maker('Wallbox', 'myWallbox', ['Pulsar Plus', 'Copper SB']),
    maker('ABB', 'ChargerSync', ['Terra AC W22', 'Terra AC W11']),
    maker('Heidelberg', 'Amperfied', ['Energy Control', 'connect.home']),
    maker('openWB', 'openWB Cloud', ['series2 custom', 'Pro']),
    maker('myenergi', 'myenergi', ['zappi 2.1']),
    maker('Alfen', 'ACE', ['Eve Single Pro-line']),
  ],
}

function maker(name: string, cloudService: string, models: readonly string[]): Manufacturer {
  return { name, cloudService, models }
}

/** `device_model.device_type` as the API names it. */
export const deviceTypeNames: Readonly<Record<DeviceType, { short: string; long: string }>> = {
  heat_pump: { short: 'hp_atw', long: 'Heat pump (air to water)' },
  electric_vehicle: { short: 'ev', long: 'Electric vehicle' },
  inverter: { short: 'inv', long: 'Inverter' },
  wallbox: { short: 'wb', long: 'Wallbox' },
}

/** What devices a user has; a combination is as frequent as it is listed. */
export const households: readonly (readonly DeviceType[])[] = [
  ['heat_pump'],
  ['heat_pump'],
  ['electric_vehicle'],
  ['electric_vehicle'],
  ['inverter'],
  ['inverter'],
  ['heat_pump', 'inverter'],
  ['heat_pump', 'inverter'],
  ['electric_vehicle', 'inverter'],
  ['electric_vehicle', 'inverter'],
  ['heat_pump', 'electric_vehicle'],
  ['heat_pump', 'electric_vehicle', 'inverter'],
  ['heat_pump', 'electric_vehicle', 'inverter'],
  ['electric_vehicle', 'electric_vehicle', 'inverter'],
  ['electric_vehicle', 'wallbox'],
  ['heat_pump', 'inverter', 'wallbox'],
]

export const firstNames = [
  'Anna',
  'Lukas',
  'Marie',
  'Jürgen',
  'Sophie',
  'Thomas',
  'Günther',
  'Katharina',
  'Björn',
  'Renée',
  'Michael',
  'Zoë',
  'Stefan',
  'Ingrid',
  'Łukasz',
  'Elif',
] as const

export const lastNames = [
  'Huber',
  'Müller',
  'Gruber',
  'Schäfer',
  'Weiß',
  'Steiner',
  'Hofer',
  'Moser',
  'Größl',
  'Novák',
  'Özdemir',
  'Fischer',
  'Lindqvist',
  'Bauer',
  'van der Berg',
  'Öllinger',
] as const

/** Names that break careless markup, headers, templates and tables. */
export const hostileNames: readonly (readonly [first: string, last: string])[] = [
  ['<script>alert(1)</script>', 'Bold & <b>brave</b>'],
  ['<!channel>', '*Stern* _Unter_ ~Strich~ `Code`'],
  ['{{ device.id }}', '\u0024{user.email}'],
  ['Zeile\r\nBcc: everyone@example.com', 'Umbruch'],
  ['"Quote"', "O'Brien; DROP TABLE users; --"],
  ['=HYPERLINK("http://example.com")', '@SUM(A1)'],
  ['\u202eneirT', 'Rechts\u200bnach\u0007links'],
  ['👩‍🔧 Ada', '🇦🇹 Zürcher'],
  ['Wolfeschlegelsteinhausenbergerdorff-'.repeat(4), 'Sehrlang'],
  ['<https://example.com|click>', '&lt;already escaped&gt;'],
]

export interface Place {
  readonly town: string
  readonly zip: string
  readonly country: string
  readonly latitude: number
  readonly longitude: number
  readonly priceZone: string
}

export const places: readonly Place[] = [
  place('Wien', '1070', 'AT', 48.2, 16.35),
  place('Graz', '8010', 'AT', 47.07, 15.44),
  place('Linz', '4020', 'AT', 48.31, 14.29),
  place('Sankt Pölten', '3100', 'AT', 48.2, 15.63),
  place('Dresden', '01067', 'DE', 51.05, 13.74),
  place('München', '80331', 'DE', 48.14, 11.58),
  place('Köln', '50667', 'DE', 50.94, 6.96),
  place('Würzburg', '97070', 'DE', 49.79, 9.95),
  place('Zürich', '8001', 'CH', 47.37, 8.54),
  place('Genève', '1201', 'CH', 46.2, 6.14),
]

function place(town: string, zip: string, country: string, latitude: number, longitude: number): Place {
  return { town, zip, country, latitude, longitude, priceZone: country === 'DE' ? 'DE_LU' : country }
}

export const streets = [
  'Hauptstraße',
  'Bahnhofstraße',
  'Lindenweg',
  'Am Mühlbach',
  'Sonnenallee',
  'Rue du Rhône',
  'Kirchengasse',
  'Ölmühlweg',
] as const

export const suppliers = ['Stadtwerk Nord', 'Alpenstrom', 'Donau Energie', 'Grünstrom & Co'] as const

/** Codes of pending actions beside `reauthenticate`: one has been seen, the others are invented. */
export const otherActionCodes = [
  'information',
  'accept_terms',
  'update_firmware',
  'confirm_battery_capacity',
] as const
