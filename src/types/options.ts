import type { BatchOptions, OnError } from './delivery.ts';

/** Accepts only known option names. `O & Known` alone would accept a misspelt name beside a correct one. */
export type Options<O, Known> = O &
  Known &
  Misspelt<O, Known, ''> &
  Nested<O, 'batch', BatchOptions> &
  Nested<O, 'onError', Extract<OnError, { readonly attempts: number }>>;

/** The message is an object: a string would disappear in the intersection with the literals of `O`. */
type Misspelt<O, Known, Path extends string> = {
  readonly [K in Exclude<keyof O, keyof Known> & string]: { readonly 'unknown option': `${Path}${K}` };
};

type Nested<O, Name extends string, Known> = O extends { readonly [K in Name]: infer V extends object }
  ? { readonly [K in Name]: Misspelt<V, Known, `${Name}.`> }
  : unknown;
