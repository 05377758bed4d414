import { CapturedChange } from '../changes/change.ts';
import { CapturedMessage } from '../changes/message.ts';
import { type ConfigurationIssue, throwIssues } from '../errors.ts';
import { meant } from '../option-names.ts';
import type { Annotations } from '../types/delivery.ts';
import type { WatcherDetails } from '../types/events.ts';
import { SlotWatchCore, type SlotWatchParts } from '../watch/slot-watch.ts';
import { expectNoStart } from '../watch/unstarted.ts';
import { describeWatcher } from '../watchers/details.ts';
import { checkChange, type GivenChange, readChange } from './check-change.ts';
import { resolveDeliverOptions } from './deliver-options.ts';
import type { TestExistingRows } from './existing-rows.ts';
import { readMessage } from './test-message.ts';
import type { Part, RowPart, TestSource } from './test-source.ts';
import { TestTable } from './test-table.ts';

export interface TestWatchParts extends SlotWatchParts {
  readonly source: TestSource;
  readonly existing: TestExistingRows;
}

/** The watch that createTestWatch() returns. */
export class TestWatchCore extends SlotWatchCore {
  readonly #parts: TestWatchParts;
  readonly #tables: ReadonlyMap<string, TestTable>;

  constructor(parts: TestWatchParts) {
    super(parts);
    this.#parts = parts;
    this.#tables = new Map(parts.watchers.map((watcher) => [watcher.name, new TestTable(watcher)]));
    expectNoStart(parts.reporter); // it is useful without
    // The test gets the error from deliver(). It must not fail the process as well.
    parts.lifecycle.outcome.closed.catch(() => {});
  }

  /** `(watcher, event, options?)` or `(changes, options?)`. */
  async deliver(given: unknown, ...rest: readonly unknown[]): Promise<void> {
    this.#refuseWhenOver();
    const issues: ConfigurationIssue[] = [];
    const { changes, options } = Array.isArray(given) ? listOf(given, rest, issues) : singleOf(given, rest, issues);
    const { annotations, times } = options;
    const parts = changes.map((change) => this.#part(change, annotations, issues));
    throwIssues(issues);
    await this.#parts.source.send(parts.filter((part) => part !== undefined), times); // prettier-ignore
  }

  /** `(prefix, content, options?)` or `(message, value, options?)`. */
  async deliverMessage(message: unknown, content: unknown, given?: unknown): Promise<void> {
    this.#refuseWhenOver();
    const issues: ConfigurationIssue[] = [];
    const options = resolveDeliverOptions(given, typeof message === 'string' ? [] : ['key'], issues);
    const { key } = (given ?? {}) as { readonly key?: unknown };
    const event = readMessage(message, content, key, issues);
    throwIssues(issues);
    const part: Part = {
      capture: (transaction) =>
        new CapturedMessage(transaction, 0, 0, event, event.content.length, options.annotations),
    };
    await this.#parts.source.send([part], options.times);
  }

  /** What only a database knows of the table stays undefined. */
  override details(name: string): WatcherDetails {
    const { subscriptions, options } = this.#parts;
    const { watcher } = subscriptions.route(name);
    const { primaryKey } = this.#tables.get(name)!.bound;
    return { ...describeWatcher(watcher, undefined, options.slot.name, options.publication.name), primaryKey };
  }

  #refuseWhenOver(): void {
    const { state, error } = this.#parts.lifecycle;
    if (state === 'failed') throw error!;
    this.refuseWhenOver();
  }

  #part(
    change: GivenChange | undefined,
    annotations: Annotations,
    issues: ConfigurationIssue[],
  ): Part | RowPart | undefined {
    if (!change) return undefined;
    const table = this.#tables.get(change.watcher);
    if (!table) {
      const known = [...this.#tables.keys()];
      issues.push({
        message: `there is no watcher '${change.watcher}'`,
        solution: meant(change.watcher, known),
        watcher: change.watcher,
      });
      return undefined;
    }
    const before = issues.length;
    checkChange(change, table, issues);
    if (issues.length > before) return undefined;
    const { router, existing } = this.#parts;
    const described = table.describe(change.event, change.previous);
    const { type, plan, row, old } = described;
    if (change.existing)
      return { give: (begin) => existing.give(router.routes.get(change.watcher)!, described, begin) };
    return {
      capture: (transaction, ordinal) => new CapturedChange(transaction, ordinal, type, plan, row, old, 0, annotations),
    };
  }
}

function singleOf(watcher: unknown, [event, options]: readonly unknown[], issues: ConfigurationIssue[]) {
  const resolved = resolveDeliverOptions(options, ['previous', 'existing'], issues);
  const { previous, existing = false } = Object(options) as Partial<GivenChange>;
  return { changes: [{ watcher, event, previous, existing } as GivenChange], options: resolved };
}

function listOf(list: readonly unknown[], [options]: readonly unknown[], issues: ConfigurationIssue[]) {
  if (list.length === 0)
    issues.push({
      message: 'the list of changes is empty',
      solution: "deliver([{ watcher: 'users:inserted', event: { id: 1 } }])",
    });
  const changes = list.map((given, place) => readChange(given, place, issues));
  return { changes, options: resolveDeliverOptions(options, [], issues) };
}
