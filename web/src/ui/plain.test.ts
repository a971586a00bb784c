import { expect, it } from 'vitest';
import { hasCommand, withoutCommands } from './plain';

it('leaves a text as it is that names no command', () => {
  const text = 'Switch `add_up` on for the item; the customer `c-1` (of `shop`) keeps its line.';
  expect(hasCommand(text)).toBe(false);
  expect(withoutCommands(text)).toBe(text);
});

it('takes away the brackets that name a command, and keeps the others', () => {
  expect(withoutCommands('Map the customer (`mapping import`, kind customer), or mark it (see `c-1`).')).toBe(
    'Map the customer, or mark it (see `c-1`).',
  );
});

it('takes away sentences and clauses that name a command, also where the command has dots', () => {
  expect(
    withoutCommands('Reconcile it: `trueup plan --reconcile 2026-03-01..2026-04-01 --customer c-1`. What was invoiced is settled by hand.'),
  ).toBe('What was invoiced is settled by hand.');
  expect(withoutCommands('Say which one it is, or end the others; `--adopt` takes a single match.')).toBe(
    'Say which one it is, or end the others.',
  );
});

it('leaves nothing where everything is a command', () => {
  expect(withoutCommands('Look at the plan, then run `apply --all --approve` or apply it by its id.')).toBe('');
  expect(withoutCommands('Run `POST …/runs {"kind": "pull"}` first.')).toBe('');
});
