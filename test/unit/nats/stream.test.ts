import { DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { limitIssues, streamConfig, streamIssues } from '../../../src/nats/stream.ts';

const good = { ...streamConfig('accounts', 'worker', 1), max_msgs: -1, max_bytes: -1 } as StreamConfig;

test('relay() accepts the stream that it creates', () => {
  expect(streamIssues(good, 'worker')).toEqual([]);
});

test('a stream with a shorter age, a size limit or more replicas is accepted: it holds the slot back when it is full', () => {
  expect(streamIssues({ ...good, max_age: 1e9, max_bytes: 1000, num_replicas: 5 }, 'worker')).toEqual([]);
});

test.each<[string, Partial<StreamConfig>]>([
  ['has the subjects walwatch.other.>', { subjects: ['walwatch.other.>'] }],
  ['has the subjects walwatch.worker.>, more', { subjects: ['walwatch.worker.>', 'more'] }],
  ['is a work queue', { retention: RetentionPolicy.Workqueue }],
  ['does not acknowledge messages', { no_ack: true }],
  ['recognises duplicates for only 1 s', { duplicate_window: 1e9 }],
  ['drops old events when it is full', { discard: DiscardPolicy.Old, max_msgs: 10 }],
  ['drops events that no consumer waits for', { retention: RetentionPolicy.Interest }],
  ['keeps only 1 events per record', { max_msgs_per_subject: 1 }],
  ['allows one message to delete all messages before it', { allow_rollup_hdrs: true }],
  ['changes the subjects of events', { subject_transform: { src: '>', dest: 'x.>' } }],
  ['has sources: others', { sources: [{ name: 'others' }] }],
  ['is lost when its server stops', { storage: StorageType.Memory }],
])('a stream that %s is refused, with a solution', (message, config) => {
  const issues = streamIssues({ ...good, ...config }, 'worker');
  expect(issues).toHaveLength(1);
  expect(issues[0]!.message).toContain(`the stream 'accounts' ${message}`);
  expect(issues[0]!.solution).toBeDefined();
});

test('all problems are reported at once', () => {
  expect(streamIssues({ ...good, no_ack: true, duplicate_window: 0 }, 'worker')).toHaveLength(2);
});

test('the limits of a new stream can be set', () => {
  const limits = { maxAge: 3_600_000, maxBytes: 1e9, maxMessages: 1e6, placement: { tags: ['ssd'] } };
  expect(limitIssues(limits)).toEqual([]);
  expect(streamConfig('accounts', 'worker', 1, limits)).toMatchObject({
    max_age: 3600e9, max_bytes: 1e9, max_msgs: 1e6, placement: { cluster: '', tags: ['ssd'] }, discard: 'new',
  }); // prettier-ignore
  expect(streamConfig('accounts', 'worker', 1, { maxAge: 0 })).toMatchObject({ max_age: 0 });
});

test.each<[string, unknown]>([
  ['limits is 5', 5],
  ['limits.maxAge is 1000', { maxAge: 1000 }],
  ['limits.maxBytes is "1GB"', { maxBytes: '1GB' }],
  ['limits.maxMessages is 0', { maxMessages: 0 }],
  ['limits.replicas is 9', { replicas: 9 }],
  ["limits.placement is 'east'".replaceAll("'", '"'), { placement: 'east' }],
  ["unknown limit 'max_bytes'", { max_bytes: 1 }],
])('%s: refused', (message, limits) => {
  expect(limitIssues(limits).map((issue) => issue.message)).toEqual([message]);
});
