// For Jest and vitest, whose globals it uses.
import { work } from './worker';

test('a worker works', () => work(process.env.DATABASE_URL), 30_000);
