import { defineWatchers } from 'walwatch';

interface DB {
  users: { id: number; name: string; role_id: number };
}

/** Client components use the type: `createClient<typeof watchers>({ url: '/live' })`. */
export const watchers = defineWatchers<DB>()([['users', 'updated', { extraColumns: ['name', 'role_id'] }]]);
