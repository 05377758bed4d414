// Runs the tests that need a server on every PostgreSQL that walwatch supports, one after the other:
// `npm run test:matrix`, or `npm run test:matrix -- 14 18` for some of them.
import { spawnSync } from 'node:child_process';

const given = process.argv.slice(2);
const versions = given.length > 0 ? given : ['14', '15', '16', '17', '18'];
const results = versions.map((version) => {
  console.log(`\nPostgreSQL ${version}`);
  const { status } = spawnSync('npm', ['run', '--silent', 'test:integration'], {
    stdio: 'inherit',
    env: { ...process.env, WALWATCH_TEST_PG: version },
  });
  return { version, passed: status === 0 };
});

console.log();
for (const { version, passed } of results) console.log(`PostgreSQL ${version}: ${passed ? 'passed' : 'failed'}`);
process.exitCode = results.every(({ passed }) => passed) ? 0 : 1;
