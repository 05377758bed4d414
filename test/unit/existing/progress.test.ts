import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { Progress } from '../../../src/existing/progress.ts';

test('console.log of subscription.existing shows the progress', () => {
  const progress = new Progress('v1', 1);
  progress.table('public.orders', 412, 1000);
  progress.begin();
  expect(inspect(progress)).toBe("{ version: 'v1', state: 'reading', rows: 412, estimatedRows: 1000 }");
});
