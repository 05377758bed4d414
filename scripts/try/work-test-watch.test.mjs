// For Jest and vitest, whose globals it uses.
import { tryTestWatch } from './test-watch';

test('a test watch works without a database', tryTestWatch);
