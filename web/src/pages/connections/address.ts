// The address of a ConnectWise server as a person types it, looked at before anything is sent. The service has the last word.

/** Why an address cannot be one: no address at all, without https, or that of the pages for people. */
export type AddressFault = { kind: 'malformed' | 'plain' } | { kind: 'cloud'; proposed: string };

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;
/** Hosts on which people look at ConnectWise; the API answers on another one. */
const CLOUD = /^(na|eu|aus?|za|staging)\.(myconnectwise\.net|connectwisedev\.com)$/;

function parsed(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

/** What is wrong with an address; nothing where it may be one. A scheme may be left out, as a path may be there. */
export function addressFault(text: string): AddressFault | null {
  const given = text.trim();
  const named = given.includes('://');
  const url = parsed(named ? given : `https://${given}`);
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:') || url.username !== '' || url.password !== '') {
    return { kind: 'malformed' };
  }
  const host = url.hostname;
  // A single word is a name in one's own network where somebody wrote https:// before it, else any word.
  if (!named && !host.includes('.') && !host.startsWith('[') && !LOOPBACK.test(host)) return { kind: 'malformed' };
  if (CLOUD.test(host)) return { kind: 'cloud', proposed: `https://api-${host}` };
  if (url.protocol === 'http:' && !LOOPBACK.test(host)) return { kind: 'plain' };
  return null;
}
