/** The actions that wait for a signal, and the one listener that runs them. */
interface Waiting {
  readonly actions: Set<() => void>;
  readonly listener: () => void;
}

const waiting = new WeakMap<AbortSignal, Waiting>();

/**
 * Runs `action` when the signal aborts. Each signal gets only one listener, however many actions there are: an EventTarget scans
 * all of its listeners whenever one is added or removed.
 */
export function onAbort(signal: AbortSignal, action: () => void): void {
  const { actions } = waiting.get(signal) ?? listenTo(signal);
  actions.add(action);
}

/** Removes the action. The last one takes the listener with it. */
export function offAbort(signal: AbortSignal, action: () => void): void {
  const there = waiting.get(signal);
  if (!there?.actions.delete(action) || there.actions.size > 0) return;
  waiting.delete(signal);
  signal.removeEventListener('abort', there.listener);
}

function listenTo(signal: AbortSignal): Waiting {
  const actions = new Set<() => void>();
  const listener = () => {
    for (const action of actions) action();
  };
  const made = { actions, listener };
  waiting.set(signal, made);
  signal.addEventListener('abort', listener, { once: true });
  return made;
}
