/** The live page: a table, one record, and a form that runs SQL. Live updates arrive through `walwatch/client`. */
import { createClient } from 'walwatch/client';
import type { watchers } from '../watchers.ts';
import { RecordView } from './record.ts';
import { runSql } from './server.ts';
import { showStatus } from './status.ts';
import { UsersTable } from './users-table.ts';

const live = createClient<typeof watchers>({ url: '/live' });

const record = new RecordView(live);
const table = new UsersTable(live, (id) => {
  table.mark(id);
  record.show(id);
  document.querySelector('#record')!.scrollIntoView({ block: 'nearest', behavior: 'smooth' }); // on a phone the record is below the table
  statement.value = `update users\nset role_id = 1 + role_id % 3\nwhere id = ${id};`;
});

const reload = () => {
  table.reload();
  record.reload();
};
live.on('connected', reload); // changes from before the connection are not delivered
live.on('reset', reload);

document.querySelector('#filter')!.addEventListener('change', (event) => {
  const { value } = event.target as HTMLInputElement;
  table.show(value === '' ? undefined : Number(value));
});

const statement = document.querySelector<HTMLTextAreaElement>('#statement')!;
statement.value = `update users\nset role_id = 1 + role_id % 3\nwhere id % 2 = 0;`;

document.querySelector('#sql form')!.addEventListener('submit', (event) => {
  event.preventDefault();
  void run();
});

async function run(): Promise<void> {
  const button = document.querySelector<HTMLButtonElement>('#sql button')!;
  const output = document.querySelector('output')!;
  button.disabled = true;
  const { done, error } = await runSql(statement.value).catch(() => ({ done: undefined, error: 'no answer' }));
  button.disabled = false;
  output.textContent = done ?? error ?? '';
  output.toggleAttribute('data-failed', error !== undefined);
}

showStatus(live);
