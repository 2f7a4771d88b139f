import type { UserAccount } from '../../src/fleet/user.ts'

/** A customer in Vienna with nothing wrong and no device. */
export function account(change: Partial<UserAccount> = {}): UserAccount {
  return {
    id: '7d1f2c6a-95c5-4e0f-8b3a-0f7f0a5f1b01',
    role: 'user',
    email: 'a@example.com',
    external_user_id: 'C-1',
    first_name: 'Anna',
    last_name: 'Muster',
    street_and_number: 'Hauptstraße 1',
    street_add_info: null,
    zip_code: '1010',
    town: 'Wien',
    country: 'AT',
    latitude: 48.2,
    longitude: 16.37,
    location_last_updated: null,
    is_onboarded: true,
    last_login: null,
    joined_at: null,
    num_heat_pumps: 0,
    num_electric_vehicles: 0,
    num_inverters: 0,
    num_wallboxes: 0,
    deleted_at: null,
    ...change,
  }
}
