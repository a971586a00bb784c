import { expect, it } from 'vitest';
import { ticketAddress, type Places } from './data';
import { choicesFor, withChoice, type Chosen, type TargetField } from './places';

const place = (id: number, name: string, more = {}) => ({ id, name, inactive: false, ...more });

const places: Places = {
  boards: [place(1, 'Help Desk'), place(2, 'Alerts'), place(3, 'Old', { inactive: true })],
  priorities: [],
  sources: [],
  members: null,
  statuses: [place(21, 'New', { closed: false }), place(25, 'Closed', { closed: true })],
  types: [place(21, 'Backup'), place(22, 'Device')],
  subtypes: [place(21, 'Failed'), place(24, 'Offline')],
  items: [place(21, 'Server'), place(22, 'Appliance')],
  combinations: [
    { type: 21, subtype: 21, item: null },
    { type: 21, subtype: 21, item: 21 },
    { type: 22, subtype: 24, item: null },
  ],
};

const NOTHING: Chosen = {
  board: null,
  type: null,
  subtype: null,
  item: null,
  status_new: null,
  status_closed: null,
  status_reopened: null,
  priority: null,
  source: null,
  owner: null,
};

const names = (field: TargetField, held: Partial<Record<TargetField, string>> = {}) =>
  choicesFor(field, places, (one) => held[one] ?? '').map((one) => one.name);

it('offers what may stand together', () => {
  expect(names('board')).toEqual(['Help Desk', 'Alerts']);
  expect(names('status_closed')).toEqual(['Closed']);
  expect(names('status_new')).toEqual(['New']);
  expect(names('owner')).toEqual([]);
  expect(names('subtype')).toEqual([]);
  expect(names('subtype', { type: '22' })).toEqual(['Offline']);
  expect(names('item', { type: '21', subtype: '21' })).toEqual(['Server']);
  const open = choicesFor('item', { ...places, combinations: null }, () => '21');
  expect(open.map((one) => one.name)).toEqual(['Server', 'Appliance']);
});

it('lets go of what belongs to another board', () => {
  const held = (field: TargetField) => (field === 'type' || field === 'status_closed' ? '21' : '');
  const chosen = withChoice(NOTHING, 'board', '1', held);
  expect(chosen).toEqual({ ...NOTHING, board: '1', type: '', status_closed: '' });
  expect(withChoice(NOTHING, 'priority', '2', held)).toEqual({ ...NOTHING, priority: '2' });
});

it('knows the page of a ticket', () => {
  const cloud = { url: 'https://api-na.myconnectwise.net', company: 'acme' };
  expect(ticketAddress(cloud, 7)).toBe(
    'https://na.myconnectwise.net/v4_6_release/services/system_io/Service/fv_sr100_request.rails?service_recid=7&companyName=acme',
  );
  expect(ticketAddress({ url: 'http://127.0.0.1:8099', company: 'training' }, 7)).toBeNull();
  expect(ticketAddress(undefined, 7)).toBeNull();
});
