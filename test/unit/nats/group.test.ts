/** A group and its note of the position, readable or not. */
import { JetStreamApiError } from '@nats-io/jetstream';
import { PermissionViolationError } from '@nats-io/transport-node';
import { expect, test, vi } from 'vitest';
import { Group, type GroupHost } from '../../../src/nats/group.ts';

const server = vi.hoisted(() => ({ read: (): Promise<unknown> => Promise.resolve(null), written: [] as string[] }));

vi.mock('../../../src/nats/access.ts', () => ({
  managerOf: () => Promise.resolve({ streams: { getMessage: () => server.read() } }),
  clientOf: () => ({ publish: (_: string, note: string) => Promise.resolve(server.written.push(note)) }),
}));

function reading(read: () => Promise<unknown>) {
  server.read = read;
  server.written = [];
  const warnings: string[] = [];
  const host = {
    access: { connection: { isClosed: () => false } },
    stream: 'events',
    name: 'mailers',
    watchers: [],
    slot: () => 'slot',
    countsAttempts: () => false,
    warn: ({ code }: { code: string }) => warnings.push(code),
  };
  const position = { created: undefined as string | undefined, consumer: undefined as string | undefined, next: 1 };
  return { group: new Group(host as unknown as GroupHost), position, warnings };
}

const noMessage = () =>
  Promise.reject(new JetStreamApiError({ code: 404, err_code: 10037, description: 'no message found' }));

test('a group without a note is new, and writes one', async () => {
  const { group, position } = reading(noMessage);
  expect(await group.recall(position)).toBe(false);
  await group.remember(position);
  expect(server.written).toHaveLength(1);
});

test('a group reads its position from its note', async () => {
  const note = { created: 'today', consumer: 'then', next: 7 };
  const { group, position } = reading(() => Promise.resolve({ json: () => note }));
  expect(await group.recall(position)).toBe(true);
  expect(position).toEqual(note);
});

test('a note that cannot be read at the moment does not count as missing', async () => {
  const timeout = Object.assign(new Error('timeout'), { name: 'TimeoutError' });
  const unavailable = new JetStreamApiError({ code: 503, err_code: 10008, description: 'temporarily unavailable' });
  for (const failure of [timeout, unavailable, new Error('CONNECTION_CLOSED')]) {
    const { group, position } = reading(() => Promise.reject(failure));
    await expect(group.recall(position)).rejects.toMatchObject({ code: 'CONNECTION' });
    expect(position.created).toBeUndefined();
  }
});

test('without permission to read its note a group works, and does not overwrite it', async () => {
  const denied = new PermissionViolationError('denied', 'publish', '$JS.API.STREAM.MSG.GET.events_groups');
  const { group, position, warnings } = reading(() => Promise.reject(denied));
  expect(await group.recall(position)).toBe(false);
  await group.remember(position);
  expect(server.written).toEqual([]);
  expect(warnings).toEqual(['PERMISSION']);
});
