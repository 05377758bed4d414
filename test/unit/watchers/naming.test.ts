/** Names that differ between code and database by a rule, the one of Kysely's CamelCasePlugin. */
import fc from 'fast-check';
import { CamelCasePlugin } from 'kysely';
import { describe, expect, test } from 'vitest';
import { ConfigurationError } from '../../../src/errors.ts';
import { defineWatchers } from '../../../src/watchers/define.ts';
import { namesOf } from '../../../src/watchers/naming.ts';
import { table } from '../../../src/watchers/table.ts';
import { checkEntries } from '../../../src/watchers/validate.ts';
import type { CamelCaseNaming } from '../../../src/types/watchers.ts';

/** Makes the plugin's protected methods public. */
class Plugin extends CamelCasePlugin {
  readonly toDatabase = (name: string) => this.snakeCase(name);
  readonly toCode = (name: string) => this.camelCase(name);
  readonly value = (json: unknown) => (this.mapRow({ json }) as { readonly json: unknown }).json;
}

const flags = ['upperCase', 'underscoreBeforeDigits', 'underscoreBetweenUppercaseLetters', 'maintainNestedObjectKeys'];
const options = fc.subarray(flags).map((on): CamelCaseNaming => Object.fromEntries(on.map((flag) => [flag, true])));
const name = fc.string({ unit: fc.constantFrom(...Array.from('abXYZ019__ü$ ')), minLength: 1, maxLength: 12 });

test('every name is translated like the plugin does, with each of its options', () => {
  fc.assert(
    fc.property(options, name, (given, one) => {
      const [own, plugin] = [namesOf(given)!, new Plugin(given)];
      expect([own.toDatabase(one), own.toCode(one)]).toEqual([plugin.toDatabase(one), plugin.toCode(one)]);
    }),
    { numRuns: 2000 },
  );
});

test('keys in JSON are translated like the plugin does', () => {
  const json = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 4 }, fc.integer(), fc.constant(null), tie('object'), fc.array(tie('value'))),
    object: fc.dictionary(fc.constantFrom('a_b', 'aB', 'a1', 'A_B', '_c', 'd_'), tie('value'), { maxKeys: 3 }),
  })).value;
  fc.assert(
    fc.property(options, json, (given, value) => {
      // Not lists in lists: the plugin skips the objects of every second level.
      const plain = JSON.parse(JSON.stringify(value)) as unknown;
      expect(namesOf(given)!.value(plain)).toEqual(new Plugin(given).value(plain));
    }),
  );
});

describe("with naming: 'camelCase'", () => {
  const named = (entry: readonly unknown[]) => {
    const { watchers, issues } = checkEntries([entry], undefined, 'camelCase');
    expect(issues).toEqual([]);
    return watchers[0]!;
  };

  test('tables and schemas are translated like columns, and identifiers use the names in code', () => {
    expect(named(['userAccounts', 'updated'])).toMatchObject({
      name: 'userAccounts:updated',
      table: { schema: 'public', name: 'user_accounts' },
    });
    expect(named(['myErp.orderLines', 'deleted'])).toMatchObject({
      name: 'myErp.orderLines:deleted',
      table: { schema: 'my_erp', name: 'order_lines' },
    });
  });

  test('table() is translated as well, but names in columnMap are not', () => {
    const lines = table()({ tableName: 'orderLines', primaryKey: ['orderId', 'line'], columnMap: { line: 'LINE no' } });
    expect(named([lines, 'updated'])).toMatchObject({
      name: 'orderLines:updated',
      table: { name: 'order_lines', primaryKey: ['orderId', 'line'], columnMap: { line: 'LINE no' } },
    });
  });

  test('the rule is kept with the watchers, for every watch that uses them', () => {
    expect(defineWatchers([['userAccounts', 'updated']], { naming: 'camelCase' })).toMatchObject({
      naming: 'camelCase',
    });
    expect(defineWatchers([['user_accounts', 'updated']])).not.toHaveProperty('naming');
  });

  test.each([
    ['snake_case', `naming must be 'camelCase' or the options of CamelCasePlugin, not "snake_case"`],
    [null, "naming must be 'camelCase' or the options of CamelCasePlugin, not null"],
    [{ underscoresBeforeDigits: true }, "unknown option of naming 'underscoresBeforeDigits'"],
  ])('%j is refused', (naming, message) => {
    expect(() => defineWatchers([['users', 'updated']], { naming: naming as never })).toThrow(ConfigurationError);
    expect(() => defineWatchers([['users', 'updated']], { naming: naming as never })).toThrow(message);
  });
});
