// The user's API key: kept in this browser, sent as a header, never part of an address.

const NAME = "hermes.key";

export function readKey() {
  try { return sessionStorage.getItem(NAME) ?? localStorage.getItem(NAME) ?? ""; } catch { return ""; }
}

/** Keep the key: for this tab only, or on this device until it is forgotten. */
export function keepKey(key, remember) {
  forgetKey();
  try { (remember ? localStorage : sessionStorage).setItem(NAME, key); } catch { /* no storage */ }
}

export function forgetKey() {
  try { sessionStorage.removeItem(NAME); localStorage.removeItem(NAME); } catch { /* no storage */ }
}
