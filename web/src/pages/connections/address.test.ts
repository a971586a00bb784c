import { expect, it } from 'vitest';
import { addressFault } from './address';

it('takes what the service can take', () => {
  for (const text of [
    'https://connectwise.example.com',
    ' connectwise.example.com/v4_6_release/apis/3.0 ',
    'https://psa',
    'http://127.0.0.1:40269',
    'http://localhost:8080',
    'https://api-na.myconnectwise.net',
    'https://[2001:db8::1]:8443',
  ]) {
    expect(addressFault(text), text).toBeNull();
  }
});

it('refuses what is no address, and what is not safe', () => {
  for (const text of ['anything', 'our server', 'https://', 'ftp://connectwise.example.com', 'https://me:secret@connectwise.example.com']) {
    expect(addressFault(text), text).toEqual({ kind: 'malformed' });
  }
  expect(addressFault('http://connectwise.example.com')).toEqual({ kind: 'plain' });
});

it('proposes the address of the API for that of the pages', () => {
  expect(addressFault('https://eu.myconnectwise.net/v4_6_release')).toEqual({
    kind: 'cloud',
    proposed: 'https://api-eu.myconnectwise.net',
  });
});
