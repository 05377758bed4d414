import { describe, expect, test } from 'vitest';
import { ask, openStream, watchQuery } from '../../support/event-stream.ts';
import { everyone, ids, live } from '../../support/live.ts';

describe('a client that comes back', () => {
  test('gets what it missed, from Last-Event-ID on', async () => {
    const { fake, handler } = live();
    const stream = await openStream(handler, everyone);
    for (const n of [1, 2, 3]) fake.emit('users:updated', `0/A/${n}`, { id: n });
    await stream.close();
    const back = await openStream(handler, everyone, { lastEventId: '0/A/1' });
    await back.has(({ type }) => type === 'position');
    expect(ids(back)).toEqual(['0/A/2', '0/A/3']);
    await back.close();
  });

  test('misses nothing even if it had heard of nothing yet', async () => {
    const { fake, handler } = live();
    const stream = await openStream(handler, everyone);
    const { lastEventId } = await stream.has(({ type }) => type === 'position');
    await stream.close();
    fake.emit('users:updated', '0/A/0', { id: 1 });
    const back = await openStream(handler, everyone, { lastEventId });
    await back.has(({ type }) => type === 'position');
    expect(ids(back)).toEqual(['0/A/0']);
    await back.close();
  });

  test('is told to reload when the buffer no longer reaches back, or never did', async () => {
    const { fake, handler } = live({ replay: 2 });
    await (await openStream(handler, everyone)).close();
    for (const n of [1, 2, 3, 4]) fake.emit('users:updated', `0/A/${n}`, { id: n });
    for (const lastEventId of ['0/A/1', 'of another process']) {
      const back = await openStream(handler, everyone, { lastEventId });
      await back.has(({ type }) => type === 'position');
      expect(back.messages.map(({ type }) => type)).toEqual(['reset', 'position']);
      await back.close();
    }
    const back = await openStream(handler, everyone, { lastEventId: '0/A/3' });
    await back.has(({ type }) => type === 'position');
    expect(ids(back)).toEqual(['0/A/4']);
    await back.close();
  });

  test('is told to reload when a watcher was not listened to at the time', async () => {
    const { fake, handler } = live();
    await (await openStream(handler, everyone)).close();
    fake.emit('users:updated', '0/A/0', { id: 1 });
    const back = await openStream(handler, [['users:updated'], ['users:inserted']], { lastEventId: '0/A/0' });
    await back.has(({ type }) => type === 'position');
    expect(back.messages[0]!.type).toBe('reset');
    await back.close();
  });

  test('goes on in one subscription and begins in another', async () => {
    const { fake, handler } = live();
    await (await openStream(handler, everyone)).close();
    for (const n of [1, 2]) fake.emit('users:updated', `0/A/${n}`, { id: n });
    const back = await openStream(handler, [['users:updated', null, '0/A/1'], ['users:inserted'], ['users:updated']]);
    await back.has(({ type }) => type === 'position');
    expect(back.changes.map((change) => [change.for, change.event.id])).toEqual([[[0], 2]]);
    fake.emit('users:inserted', '0/B/0', { id: 3 });
    await back.has(({ lastEventId }) => lastEventId === '0/B/0');
    await back.close();
  });

  test('hears a change of two watchers, of which it had only seen one', async () => {
    const { fake, handler } = live();
    const both = [['users:inserted'], ['users:updated']];
    await (await openStream(handler, both)).close();
    fake.emit('users:inserted', '0/A/0', { id: 1 });
    fake.emit('users:updated', '0/A/0', { id: 1 });
    const back = await openStream(handler, both, { lastEventId: '0/A/0' });
    await back.has(({ type }) => type === 'position');
    expect(back.changes.map(({ watcher }) => watcher)).toEqual(['users:updated']);
    await back.close();
  });
});

describe('changes that the watch has not seen', () => {
  test('after a gap everybody is told to reload, and nobody goes on from before', async () => {
    const { fake, handler } = live();
    const stream = await openStream(handler, everyone);
    fake.emit('users:updated', '0/A/0', { id: 1 });
    fake.tell('gap');
    await stream.has(({ type, data }) => type === 'reset' && data === 'changes were not seen');
    const back = await openStream(handler, everyone, { lastEventId: '0/A/0' });
    await back.has(({ type }) => type === 'reset');
    for (const one of [stream, back]) await one.close();
  });

  test('a worker that becomes a standby ends its streams and takes no others', async () => {
    const { fake, handler } = live();
    const stream = await openStream(handler, everyone);
    fake.state = 'standby';
    fake.tell('standby');
    await stream.ended;
    expect(stream.messages.at(-1)!.type).toBe('reset');
    expect(await ask(handler, watchQuery(everyone))).toEqual({ status: 503, text: 'the watch is standby\n' });
  });

  test.each([
    ['resolved', undefined],
    ['rejected', new Error('lost')],
  ])('the end of the watch, %s, ends the streams', async (_, error) => {
    const { fake, handler } = live();
    const stream = await openStream(handler, everyone);
    fake.end(error);
    await stream.ended;
  });
});
