// DATABASE_URL=… node main.mjs
import { work } from './worker.mjs';

const { DATABASE_URL } = process.env;
if (!DATABASE_URL) throw new Error('DATABASE_URL is not set');
// Not with `await`, which bundles in CommonJS cannot have at the top.
void work(DATABASE_URL);
