// What stands behind the link in a message to a device's owner that ends such messages: types only, as in
// link-desk.ts. A token that is forged, expired or over is null or false everywhere.

export interface OwnerDesk {
  lookUnsubscribe(token: string): Promise<{ readonly subscribed: boolean } | null>
  /** Whether the token counts; doing it twice is no error. */
  unsubscribe(token: string): Promise<boolean>
  /** Takes it back. Where there is no such method, the page offers no way back. */
  resubscribe?(token: string): Promise<boolean>
}
