import { randomUUID } from 'node:crypto';
import { WatchError } from '../errors.ts';
import { compareLsn, formatLsn, type Lsn, parseLsn } from '../postgres/lsn.ts';
import type { Server } from '../postgres/server.ts';
import type { Marker } from './marker.ts';
import { invalidation, type Slot } from './slot.ts';

/** Changes between these positions were not seen, or do not exist any more. */
export interface Gap {
  readonly from: string | undefined;
  readonly to: string;
  readonly reason: string;
}

/** What to do about the slot. */
export type SlotVerdict =
  | { readonly kind: 'create' }
  /** Somebody is making it now. */
  | { readonly kind: 'beingCreated' }
  /** It exists and is not in the marker yet: somebody else made it for this worker. */
  | { readonly kind: 'adopt' }
  | {
      readonly kind: 'resume';
      /** Another worker had it since: what was received here says nothing about what comes. */
      readonly colleague: boolean;
      readonly gap: Gap | undefined;
    }
  /** Somebody who is not one of the workers moved it; if that is not certain, a colleague may have. */
  | { readonly kind: 'moved'; readonly certain: boolean; readonly error: WatchError; readonly gap: Gap }
  /** Changes since `from` cannot be had any more. */
  | { readonly kind: 'lost'; readonly from: string | undefined; readonly reason: string };

export interface SlotFacts {
  readonly name: string;
  readonly slot: Slot | undefined;
  readonly marker: Marker | undefined;
  readonly server: Pick<Server, 'systemIdentifier' | 'databaseOid'>;
  /** The names of this worker's watchers. */
  readonly watchers: readonly string[];
  /** What tells this worker from others in the marker. */
  readonly worker: string;
  /** The last position that this process acknowledged. Undefined: none since it knows the slot. */
  readonly acknowledged: string | undefined;
  /** The process of this worker's last walsender. */
  readonly pid: number | undefined;
  /** Why the slot is lost, where only the stream told. */
  readonly lost?: string | undefined;
}

/** Judges the slot before streaming; pure. */
export function judgeSlot(facts: SlotFacts): SlotVerdict {
  const { slot, marker, watchers, acknowledged, pid } = facts;
  // While another worker has the slot it is that one which moves it; this one is then to forget where it was.
  const others = slot?.activePid !== undefined && slot.activePid !== pid;
  if (!slot || invalidation(slot)) return judgeMissing(others ? { ...facts, acknowledged: undefined } : facts);
  if (slot.confirmedFlushLsn === undefined) return { kind: 'beingCreated' };
  if (facts.lost !== undefined && marker?.gap?.to === undefined)
    return { kind: 'lost', from: slot.confirmedFlushLsn, reason: facts.lost };
  if (!marker && acknowledged === undefined) return { kind: 'adopt' };
  // It was made anew, which the gap of the marker tells.
  const moved = others || marker?.gap ? undefined : judgeMoved(facts, slot);
  if (moved && moved !== 'colleague') return moved;
  if (!marker) return { kind: 'adopt' };
  const gap = others ? undefined : unwatched(marker, watchers, slot.confirmedFlushLsn);
  return { kind: 'resume', colleague: moved === 'colleague', gap };
}

/** What a walsender says of the server when streaming begins. */
export interface StreamFacts {
  readonly systemIdentifier: string;
  readonly timeline: number;
  /** The end of the server's WAL. */
  readonly end: Lsn;
  /** Where the timeline that was received before ends in the server's history. Undefined: not known. */
  readonly switchedAt: Lsn | undefined;
  /** The furthest position that this process received. */
  readonly received: string | undefined;
  /** Where a temporary slot begins, which is made with the connection. */
  readonly createdLsn: string | undefined;
}

/**
 * Whether what was received belongs to what comes now. `continue`: it does. `anew`: it does not, but it is still to be
 * delivered. `lost`: what was received and is not handled does not exist any more, or comes again.
 */
export type StreamVerdict = 'continue' | 'anew' | 'lost';

/**
 * Decides whether what this process received still belongs to the server's history: the server may have been restored,
 * promoted or replaced, and the slot remade or moved by another worker. Keeps a gap until it was told.
 */
export class History {
  /** Tells this process from its colleagues in the marker. */
  readonly worker = randomUUID();
  #stream: Pick<StreamFacts, 'systemIdentifier' | 'timeline'> | undefined;
  #forgotten = false;
  #gap: Gap | undefined;
  /** Why the slot is lost, where only the stream told. */
  #lost: string | undefined;

  /** A gap that nobody was told of yet. */
  get gap(): Gap | undefined {
    return this.#gap;
  }

  /** The same, with how many received events were dropped because of it. */
  gapWith(dropped: number): Gap | undefined {
    const gap = this.#gap;
    if (!gap || dropped === 0) return gap;
    return { ...gap, reason: `${gap.reason} (${dropped} events that were not handled were dropped)` };
  }

  /** The `gap` event was emitted. */
  told(): void {
    this.#gap = undefined;
  }

  /** The slot was made anew in place of one that was lost, or moved: what was received says nothing about what comes. */
  begin(gap: Gap | undefined): void {
    this.#stream = undefined;
    this.#lost = undefined;
    this.#gap ??= gap;
  }

  /** The server cannot stream from the slot any more, though the catalog does not say so. */
  lost(reason: string): void {
    this.#lost = reason;
  }

  get lostBecause(): string | undefined {
    return this.#lost;
  }

  /** The received positions do not belong to what comes next, and what is not handled comes again or is gone. */
  forget(): void {
    this.#forgotten = true;
  }

  /** The server repeats what was received with other transactions: it was restored from an earlier state. */
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
  'the server was restored to an earlier state: what it received afterwards does not exist any more, and new changes have the same positions';

/** The slot is gone or invalid: is that a first start or a loss? */
function judgeMissing({ name, slot, marker, server, acknowledged }: SlotFacts): SlotVerdict {
  // A process that was to make it anew was interrupted.
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
  // CREATE DATABASE … TEMPLATE copies the comment, and never the slot.
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
  // While no worker ran, one that notes nothing may have had the slot: an older version, or one with manage: 'verify'.
  const certain = acknowledged !== undefined && marker?.worker !== undefined;
  const who = certain ? 'No worker of this slot did that' : 'Another worker or somebody else did that';
  return {
    kind: 'moved',
    certain,
    gap: { from: known, to: confirmed, reason: `the slot '${name}' was moved from ${known} to ${confirmed}` },
    error: new WatchError('SLOT_MOVED', `the slot '${name}' is at ${confirmed}, but only ${known} was acknowledged`, {
      solution: `${who}: it was advanced or made anew. Changes in between were not seen. Bring what depends on them up to date${certain ? ', then start again' : ''}.`,
    }),
  };
}

/** A version of the application without these watchers had the slot, and acknowledged their changes. */
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

/** Whether the server continues what was received before; else what is lost of it. Undefined: nothing. */
function judgeStream(
  before: Pick<StreamFacts, 'systemIdentifier' | 'timeline'>,
  facts: StreamFacts,
): Gap | 'continue' | undefined {
  const { systemIdentifier, timeline, end, switchedAt } = facts;
  const received = facts.received === undefined ? 0n : parseLsn(facts.received);
  const to = formatLsn(received);
  if (systemIdentifier !== before.systemIdentifier)
    return { from: facts.received, to: formatLsn(end), reason: 'the address leads to another database cluster' };
  if (timeline !== before.timeline) {
    const shared = switchedAt !== undefined && switchedAt < end ? switchedAt : end;
    if (received <= shared) return undefined;
    const reason = `the server was promoted without the changes between ${formatLsn(shared)} and ${to}, which were received: they do not exist any more`;
    return { from: formatLsn(shared), to, reason };
  }
  return end < received ? { from: formatLsn(end), to, reason: restored } : 'continue';
}
