import { defineWatchers } from 'walwatch';

export interface DB {
  'walwatch_example_nats.users': { id: number; email: string; role_id: number };
}

/** All roles use the same watchers: the others can subscribe to everything that the worker publishes. */
export const watchers = defineWatchers<DB>()([
  ['walwatch_example_nats.users', 'inserted', { extraColumns: ['email'] }],
  ['walwatch_example_nats.users', 'updated', { extraColumns: ['role_id'] }],
]);
