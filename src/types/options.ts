import type { BatchOptions, OnError } from './delivery.ts';
import type { ExistingOptions } from './existing.ts';
import type { NamesIn, TypeOf } from './lookup.ts';
import type { Watchers } from './watchers.ts';

/** Accepts only known option names. `O & Known` alone would accept a misspelt name beside a correct one. */
export type Options<O, Known> = O &
  Known &
  Misspelt<O, Known, ''> &
  Nested<O, 'batch', BatchOptions> &
  Nested<O, 'existing', ExistingOptions> &
  Nested<O, 'onError', Extract<OnError, { readonly attempts: number }>>;

/** The message is an object: a string would disappear in the intersection with the literals of `O`. */
type Misspelt<O, Known, Path extends string> = {
  readonly [K in Exclude<keyof O, keyof Known> & string]: { readonly 'there is no option': `${Path}${K}` };
};

type Nested<O, Name extends string, Known> = O extends { readonly [K in Name]: infer V extends object }
  ? { readonly [K in Name]: Misspelt<V, Known, `${Name}.`> }
  : unknown;

/** `existing` needs a name, under which its progress is stored, and an `inserted` watcher, through which the rows arrive. */
export type ExistingNeeds<W extends Watchers, N, O> = O extends { readonly existing: unknown }
  ? {
      readonly name: string;
      readonly existing: 'inserted' extends TypeOf<W, NamesIn<W, N>>
        ? unknown
        : {
            readonly 'existing rows arrive as': "'inserted': subscribe to the table's inserted watcher as well";
          };
    }
  : unknown;
