import { describe, expect, test } from 'vitest';
import { ask, openStream, watchQuery } from '../../support/event-stream.ts';
import { everyone, ids, live } from '../../support/live.ts';

describe('a client that reconnects', () => {
  test('receives the missed changes after its Last-Event-ID', async () => {
    const { fake, handler } = live();
    const stream = await openStream(handler, everyone);
    for (const n of [1, 2, 3]) fake.emit('users:updated', `0/A/${n}`, { id: n });
    await stream.close();
    const back = await openStream(handler, everyone, { lastEventId: '0/A/1' });
    await back.has(({ type }) => type === 'position');
    expect(ids(back)).toEqual(['0/A/2', '0/A/3']);
    await back.close();
  });

  test('misses nothing, even if it had received no change before', async () => {
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

  test('must reload when the buffer does not contain its last event', async () => {
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

  test('must reload when a watcher had no subscription at that time', async () => {
    const { fake, handler } = live();
    await (await openStream(handler, everyone)).close();
    fake.emit('users:updated', '0/A/0', { id: 1 });
    const back = await openStream(handler, [['users:updated'], ['users:inserted']], { lastEventId: '0/A/0' });
    await back.has(({ type }) => type === 'position');
    expect(back.messages[0]!.type).toBe('reset');
    await back.close();
  });

  test('resumes one subscription and begins another', async () => {
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

  test('receives a change that concerns two watchers, of which it had seen only one', async () => {
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

describe('changes that the watch has missed', () => {
  test('after a gap every client must reload, and no client can resume from before', async () => {
    const { fake, handler } = live();
    const stream = await openStream(handler, everyone);
    fake.emit('users:updated', '0/A/0', { id: 1 });
    fake.tell('gap');
    await stream.has(({ type, data }) => type === 'reset' && data === 'changes were missed');
    const back = await openStream(handler, everyone, { lastEventId: '0/A/0' });
    await back.has(({ type }) => type === 'reset');
    for (const one of [stream, back]) await one.close();
  });

  test('a worker that becomes a standby ends its streams and accepts no new ones', async () => {
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
