// Kills a worker with SIGKILL at every step of reading existing rows, again and again, and then checks that no row is lost, out of order
// or handled twice: `node scripts/kill-existing.mjs [rounds] [plain|single|batch …]`. Default: 100 rounds of each. `plain` has a handler
// without `transaction`, the others have `transaction: true`.
import { spawnSync } from 'node:child_process';

const [rounds = '100', ...modes] = process.argv.slice(2);
const wanted = modes.length > 0 ? modes : ['plain', 'single', 'batch'];
const results = wanted.map((mode) => {
  const test = `killed at any step .*\\(${mode}\\)`;
  const { status } = spawnSync(
    'npx',
    ['vitest', 'run', '--project', 'faults', 'test/faults/existing-rows.test.ts', '--testNamePattern', test],
    { stdio: 'inherit', env: { ...process.env, WALWATCH_ROUNDS: rounds } },
  );
  return { mode, passed: status === 0 };
});
for (const { mode, passed } of results) console.log(`${mode}, ${rounds} rounds: ${passed ? 'passed' : 'failed'}`);
process.exitCode = results.every(({ passed }) => passed) ? 0 : 1;
