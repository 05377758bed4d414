import { defineWatchers } from 'walwatch';
import type { DB } from './schema.ts';

/** The changes that this worker receives, and that a page may subscribe to. */
export const watchers = defineWatchers<DB>()([
  ['walwatch_example.users', 'inserted', { extraColumns: ['name', 'role_id'] }],
  ['walwatch_example.users', 'updated', { extraColumns: ['name', 'role_id'] }],
  ['walwatch_example.users', 'deleted', { extraColumns: ['name', 'role_id'] }],
  [
    'walwatch_example.users',
    'updated',
    // `debug`: with LOG_LEVEL=debug, each step of this watcher is logged.
    { label: 'contact_changed', triggerColumns: ['email', 'phone'], extraColumns: ['email', 'phone'], debug: true },
  ],
  ['walwatch_example.packages', 'inserted', { extraColumns: ['name', 'user_id'] }],
  ['walwatch_example.packages', 'updated', { extraColumns: ['user_id'] }],
]);
