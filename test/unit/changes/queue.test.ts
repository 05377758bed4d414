import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Queue } from '../../../src/changes/queue.ts';

test('a queue returns its items in the order of insertion, like an array', () => {
  const step = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('push' as const), count: fc.nat({ max: 1500 }) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('shift' as const), count: fc.nat({ max: 1500 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('drain' as const), count: fc.constant(0) }) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const queue = new Queue<number>();
      let array: number[] = [];
      let next = 0;
      for (const { kind, count } of steps) {
        for (let left = count; left > 0 && kind === 'push'; left--) {
          queue.push(next);
          array.push(next++);
        }
        if (kind === 'shift') {
          const taken = Array.from({ length: count }, () => queue.shift());
          expect(taken).toEqual(
            [...array.splice(0, count), ...Array<undefined>(count).fill(undefined)].slice(0, count),
          );
        }
        if (kind === 'drain') {
          expect(queue.drain()).toEqual(array);
          array = [];
        }
        expect(queue.length).toBe(array.length);
        expect(queue.first()).toBe(array[0]);
      }
    }),
  );
});
