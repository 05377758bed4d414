import { DiscardPolicy, RetentionPolicy, type StreamConfig } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { streamConfig, streamIssues } from '../../../src/nats/stream.ts';

const good = { ...streamConfig('accounts', 'worker', 1), max_msgs: -1, max_bytes: -1 } as StreamConfig;

test('what relay() makes, it also accepts', () => {
  expect(streamIssues(good, 'worker')).toEqual([]);
});

test('a stream that is kept shorter, limited in size or more often replicated is accepted: it holds the slot back when it is full', () => {
  expect(streamIssues({ ...good, max_age: 1e9, max_bytes: 1000, num_replicas: 5 }, 'worker')).toEqual([]);
});

test.each<[string, Partial<StreamConfig>]>([
  ['has the subjects walwatch.other.>', { subjects: ['walwatch.other.>'] }],
  ['has the subjects walwatch.worker.>, more', { subjects: ['walwatch.worker.>', 'more'] }],
  ['is a work queue', { retention: RetentionPolicy.Workqueue }],
  ['acknowledges nothing', { no_ack: true }],
  ['recognises duplicates for 1 s only', { duplicate_window: 1e9 }],
  ['drops old events when it is full', { discard: DiscardPolicy.Old, max_msgs: 10 }],
])('a stream that %s is refused, with what to do', (message, config) => {
  const issues = streamIssues({ ...good, ...config }, 'worker');
  expect(issues).toHaveLength(1);
  expect(issues[0]!.message).toContain(`the stream 'accounts' ${message}`);
  expect(issues[0]!.solution).toBeDefined();
});

test('all that is wrong is said at once', () => {
  expect(streamIssues({ ...good, no_ack: true, duplicate_window: 0 }, 'worker')).toHaveLength(2);
});
