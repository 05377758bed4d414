import { Inject, Injectable, type OnApplicationBootstrap, type OnApplicationShutdown } from '@nestjs/common';
import { DiscoveryService, MetadataScanner, Reflector } from '@nestjs/core';
import type { SlotWatch } from 'walwatch';
import { onChangeKey, type OnChangeMetadata } from './on-change.ts';

export const WATCH = Symbol('walwatch:watch');

/** Subscribes every method with `@OnChange`, starts the watch, and stops it with the application. */
@Injectable()
export class Subscriber implements OnApplicationBootstrap, OnApplicationShutdown {
  readonly #watch: SlotWatch;
  readonly #discovery: DiscoveryService;
  readonly #reflector: Reflector;

  constructor(@Inject(WATCH) watch: SlotWatch, discovery: DiscoveryService, reflector: Reflector) {
    this.#watch = watch;
    this.#discovery = discovery;
    this.#reflector = reflector;
  }

  onApplicationBootstrap(): void {
    const scanner = new MetadataScanner();
    for (const { instance } of this.#discovery.getProviders() as { instance?: Record<string, Method> }[]) {
      if (!instance || typeof instance !== 'object') continue; // request-scoped, or a plain value
      for (const name of scanner.getAllMethodNames(Object.getPrototypeOf(instance) as object)) {
        const metadata = this.#reflector.get<OnChangeMetadata | undefined>(onChangeKey, instance[name]!);
        if (metadata) this.#subscribe(metadata, instance, name);
      }
    }
    // Not awaited, because Nest waits for this hook before it listens, and `start()` waits while the database is down or another
    // worker has the slot. Readiness comes from `health()`.
    void this.#watch.start();
  }

  /** Waits for running handlers. Do not close what they use in an earlier shutdown hook. */
  onApplicationShutdown(): Promise<void> {
    return this.#watch.stop();
  }

  #subscribe({ watcher, filter, options }: OnChangeMetadata, instance: Record<string, Method>, method: string): void {
    // A stable name: class and method.
    const named = { name: `${instance.constructor.name}.${method}`, ...options };
    const handler = (event: unknown, context: unknown) => instance[method]!(event, context);
    if (filter === undefined) this.#watch.subscribe(watcher, handler, named);
    else this.#watch.subscribe(watcher, filter, handler, named);
  }
}

type Method = (...args: unknown[]) => unknown;
