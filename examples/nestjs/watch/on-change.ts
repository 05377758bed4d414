import { SetMetadata } from '@nestjs/common';
import type { FilterOf, HandlerOf, SubscribeOptions, WatcherName, Watchers } from 'walwatch';

export const onChangeKey = Symbol('walwatch:onChange');

/** The metadata that the decorator puts on a method. */
export interface OnChangeMetadata {
  readonly watcher: string;
  readonly filter: unknown;
  readonly options: SubscribeOptions;
}

/** Returns `@OnChange` for one set of watchers, so that the compiler checks names, filters and method parameters. */
export const onChangeOf =
  <W extends Watchers>() =>
  <N extends WatcherName<W>>(
    watcher: N,
    { filter, ...options }: Omit<SubscribeOptions, 'transaction'> & { readonly filter?: FilterOf<W, N> } = {},
  ) =>
  <Method extends HandlerOf<W, N>>(
    target: object,
    key: string | symbol,
    descriptor: TypedPropertyDescriptor<Method>,
  ): void => {
    const metadata: OnChangeMetadata = { watcher, filter, options };
    SetMetadata(onChangeKey, metadata)(target, key, descriptor);
  };
