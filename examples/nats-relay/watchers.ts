import { defineWatchers } from 'walwatch';

export interface DB {
  'walwatch_example_nats.users': { id: number; email: string; role_id: number };
}

/** What the worker publishes is what the others may subscribe to: all roles use the same watchers. */
export const watchers = defineWatchers<DB>()([
  ['walwatch_example_nats.users', 'inserted', { extraColumns: ['email'] }],
  ['walwatch_example_nats.users', 'updated', { extraColumns: ['role_id'] }],
]);
