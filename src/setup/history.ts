import { randomUUID } from 'node:crypto';
import { WatchError } from '../errors.ts';
import { compareLsn, formatLsn, type Lsn, parseLsn } from '../postgres/lsn.ts';
import type { Server } from '../postgres/server.ts';
import type { Marker } from './marker.ts';
import { invalidation, type Slot } from './slot.ts';

/** Changes between these positions were missed, or no longer exist. */
export interface Gap {
  readonly from: string | undefined;
  readonly to: string;
  readonly reason: string;
}

/** How to proceed with the slot. */
export type SlotVerdict =
  | { readonly kind: 'create' }
  /** Another session is creating it now. */
  | { readonly kind: 'beingCreated' }
  /** It exists, but the marker does not mention it: someone else created it for this worker. */
  | { readonly kind: 'adopt' }
  | {
      readonly kind: 'resume';
      /** Another worker had it since. So the positions that this process received earlier do not count any more. */
      readonly colleague: boolean;
      readonly gap: Gap | undefined;
    }
  /** Someone who is not one of the workers moved it. If that is not certain, another worker may have done it. */
  | { readonly kind: 'moved'; readonly certain: boolean; readonly error: WatchError; readonly gap: Gap }
  /** Changes since `from` are lost for good. */
  | { readonly kind: 'lost'; readonly from: string | undefined; readonly reason: string };

export interface SlotFacts {
  readonly name: string;
  readonly slot: Slot | undefined;
  readonly marker: Marker | undefined;
  readonly server: Pick<Server, 'systemIdentifier' | 'databaseOid'>;
  /** The names of this worker's watchers. */
  readonly watchers: readonly string[];
  /** Identifies this worker in the marker. */
  readonly worker: string;
  /** The last position that this process acknowledged. Undefined: none since it first saw the slot. */
  readonly acknowledged: string | undefined;
  /** The process ID of this worker's last walsender. */
  readonly pid: number | undefined;
  /** Why the slot is lost, if only the stream reported it. */
  readonly lost?: string | undefined;
}

/** Judges the slot before streaming. Pure. */
export function judgeSlot(facts: SlotFacts): SlotVerdict {
  const { slot, marker, watchers, acknowledged, pid } = facts;
  // While another worker has the slot, that worker moves it. This one must forget its own position.
  const others = slot?.activePid !== undefined && slot.activePid !== pid;
  if (!slot || invalidation(slot)) return judgeMissing(others ? { ...facts, acknowledged: undefined } : facts);
  if (slot.confirmedFlushLsn === undefined) return { kind: 'beingCreated' };
  if (facts.lost !== undefined && marker?.gap?.to === undefined)
    return { kind: 'lost', from: slot.confirmedFlushLsn, reason: facts.lost };
  if (!marker && acknowledged === undefined) return { kind: 'adopt' };
  // It was re-created: the gap in the marker reports that.
  const moved = others || marker?.gap ? undefined : judgeMoved(facts, slot);
  if (moved && moved !== 'colleague') return moved;
  if (!marker) return { kind: 'adopt' };
  const gap = others ? undefined : unwatched(marker, watchers, slot.confirmedFlushLsn);
  return { kind: 'resume', colleague: moved === 'colleague', gap };
}

/** What a walsender reports about the server when streaming begins. */
export interface StreamFacts {
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** The end of the server's WAL. */
  readonly end: Lsn;
  /** Where the timeline of the earlier stream ends in the server's history. Undefined: unknown. */
  readonly switchedAt: Lsn | undefined;
  /** The furthest position that this process received. */
  readonly received: string | undefined;
  /** Where a temporary slot begins: it is created with the connection. */
  readonly createdLsn: string | undefined;
}

/**
 * Whether the stream continues the received changes. `continue`: it does. `anew`: it does not, but the received changes are still to be
 * delivered. `lost`: received changes that are not handled no longer exist, or will be received again.
 */
export type StreamVerdict = 'continue' | 'anew' | 'lost';

/**
 * Decides whether what this process received still belongs to the server's history. The server may have been restored, promoted or
 * replaced, and the slot re-created or moved by another worker. Keeps a gap until it was reported.
 */
export class History {
  /** Identifies this process in the marker. */
  readonly worker = randomUUID();
  #stream: Pick<StreamFacts, 'systemIdentifier' | 'timeline'> | undefined;
  #forgotten = false;
  #gap: Gap | undefined;
  /** Why the slot is lost, if only the stream reported it. */
  #lost: string | undefined;

  /** A gap that was not reported yet. */
  get gap(): Gap | undefined {
    return this.#gap;
  }

  /** The same, with the number of received events that were dropped because of it. */
  gapWith(dropped: number): Gap | undefined {
    const gap = this.#gap;
    if (!gap || dropped === 0) return gap;
    return { ...gap, reason: `${gap.reason} (${dropped} events that were not handled were dropped)` };
  }

  /** Called after the `gap` event was emitted. */
  told(): void {
    this.#gap = undefined;
  }

  /** The slot was re-created after a loss, or moved. The positions that were received do not count any more. */
  begin(gap: Gap | undefined): void {
    this.#stream = undefined;
    this.#lost = undefined;
    this.#gap ??= gap;
  }

  /** The server can no longer stream from the slot, although the catalog does not show it. */
  lost(reason: string): void {
    this.#lost = reason;
  }

  get lostBecause(): string | undefined {
    return this.#lost;
  }

  /** The received positions do not belong to the next stream. Unhandled changes will be received again, or are gone. */
  forget(): void {
    this.#forgotten = true;
  }

  /** The server repeats received positions with other transactions: it was restored from an earlier state. */
  rewound(received: string | undefined, at: Lsn): void {
    this.forget();
    this.#gap ??= { from: formatLsn(at), to: received ?? formatLsn(at), reason: restored };
  }

  /** Judges the stream when it begins. */
  stream(facts: StreamFacts): StreamVerdict {
    const before = this.#stream;
    const { systemIdentifier, timeline, received } = facts;
    this.#stream = { systemIdentifier, timeline };
    const forgotten = this.#forgotten;
    this.#forgotten = false;
    if (!before) return forgotten ? 'lost' : 'anew';
    const gap = judgeStream(before, facts);
    const { createdLsn } = facts;
    if (createdLsn !== undefined)
      this.#gap ??= { from: received, to: createdLsn, reason: 'a temporary slot ends with its connection' };
    if (gap !== 'continue') this.#gap ??= gap;
    if (gap !== 'continue' || forgotten) return 'lost';
    return createdLsn === undefined ? 'continue' : 'anew';
  }
}

const restored =
  'the server was restored to an earlier state: what it received afterwards no longer exists, and new changes have the same positions';

/** The slot is missing or invalid: decides whether this is a first start or a loss. */
function judgeMissing({ name, slot, marker, server, acknowledged }: SlotFacts): SlotVerdict {
  // A process was about to re-create it and was interrupted.
  const untold = marker?.gap;
  const from = untold?.from ?? acknowledged ?? marker?.stopped ?? marker?.createdLsn;
  const lost = (reason: string, since = from): SlotVerdict => ({ kind: 'lost', from: since, reason });
  if (slot) {
    const since = untold?.from ?? slot.confirmedFlushLsn ?? from;
    return lost(`the slot '${name}' was invalidated: ${invalidation(slot)}`, since);
  }
  if (untold) return lost(untold.reason);
  if (acknowledged !== undefined) return lost(`the slot '${name}' was dropped while it was in use`);
  if (!marker) return { kind: 'create' };
  if (marker.systemIdentifier !== server.systemIdentifier)
    return lost(`the slot '${name}' was not copied to this server (a restored dump, pg_upgrade or another cluster)`);
  // CREATE DATABASE … TEMPLATE copies the comment, but never the slot.
  if (marker.databaseOid !== server.databaseOid) return { kind: 'create' };
  return lost(`the slot '${name}' was dropped`);
}

/** Whether the slot is further than the workers left it. 'colleague': another worker had it since. */
function judgeMoved(
  { name, marker, acknowledged, worker }: SlotFacts,
  slot: Slot,
): Extract<SlotVerdict, { kind: 'moved' }> | 'colleague' | undefined {
  const confirmed = slot.confirmedFlushLsn;
  const known = acknowledged ?? marker?.stopped;
  if (known === undefined || confirmed === undefined || compareLsn(confirmed, known) <= 0) return undefined;
  if (acknowledged !== undefined && marker?.worker !== undefined && marker.worker !== worker) return 'colleague';
  // While no worker ran, one that stores nothing may have had the slot: an older version, or one with manage: 'verify'.
  const certain = acknowledged !== undefined && marker?.worker !== undefined;
  const who = certain ? 'No worker of this slot did that' : 'Another worker or someone else did that';
  return {
    kind: 'moved',
    certain,
    gap: { from: known, to: confirmed, reason: `the slot '${name}' was moved from ${known} to ${confirmed}` },
    error: new WatchError('SLOT_MOVED', `the slot '${name}' is at ${confirmed}, but only ${known} was acknowledged`, {
      solution: `${who}: it was advanced or re-created. Changes in between were missed. Bring what depends on them up to date${certain ? ', then start again' : ''}.`,
    }),
  };
}

/** A version of the application without some of these watchers had the slot, and acknowledged their changes. */
function unwatched(
  marker: Marker | undefined,
  watchers: readonly string[],
  confirmed: string | undefined,
): Gap | undefined {
  const paused = Object.entries(marker?.paused ?? {}).filter(([watcher]) => watchers.includes(watcher));
  if (paused.length === 0 || confirmed === undefined) return undefined;
  const from = paused.map(([, lsn]) => lsn).reduce((first, lsn) => (compareLsn(lsn, first) < 0 ? lsn : first));
  if (compareLsn(from, confirmed) >= 0) return undefined;
  const names = paused.map(([watcher]) => `'${watcher}'`).join(', ');
  return { from, to: confirmed, reason: `a worker without the watchers ${names} had the slot in between` };
}

/** Whether the server continues the received changes, or which of them are lost. Undefined: it does not continue, but nothing is lost. */
function judgeStream(
  before: Pick<StreamFacts, 'systemIdentifier' | 'timeline'>,
  facts: StreamFacts,
): Gap | 'continue' | undefined {
  const { systemIdentifier, timeline, end, switchedAt } = facts;
  const received = facts.received === undefined ? 0n : parseLsn(facts.received);
  const to = formatLsn(received);
  if (systemIdentifier !== before.systemIdentifier)
    return { from: facts.received, to: formatLsn(end), reason: 'the address now leads to another database cluster' };
  if (timeline !== before.timeline) {
    const shared = switchedAt !== undefined && switchedAt < end ? switchedAt : end;
    if (received <= shared) return undefined;
    const reason = `the server was promoted without the changes between ${formatLsn(shared)} and ${to}, which were received: they no longer exist`;
    return { from: formatLsn(shared), to, reason };
  }
  return end < received ? { from: formatLsn(end), to, reason: restored } : 'continue';
}
