import type { Client } from 'pg';
import type { IsFresh, RecordedRow, Recorder } from '../delivery/recorder.ts';
import { lockState, saveState, type StateKey } from './state.ts';
import type { TableReading } from './table-reading.ts';

/** With `transaction: true`: stores in the handler's transaction which rows of one run are handled. */
export class TableRecorder implements Recorder {
  readonly #of: StateKey;
  readonly #worker: string;
  readonly #run: number;
  #rows: TableReading | undefined;

  constructor(of: StateKey, worker: string, run: number) {
    this.#of = of;
    this.#worker = worker;
    this.#run = run;
  }

  of(rows: TableReading): void {
    this.#rows = rows;
  }

  async fresh(client: Client): Promise<IsFresh> {
    const stored = await lockState(client, this.#of, this.#worker, this.#run);
    // Another worker has taken over, or the rows are read again: who does that handles them.
    return stored ? this.#rows!.freshOf(stored) : () => false;
  }

  record(client: Client, rows: readonly RecordedRow[], attempt: string): Promise<boolean> {
    return saveState(client, this.#of, this.#worker, this.#rows!.stateAfter(this.#run, rows), attempt);
  }
}
