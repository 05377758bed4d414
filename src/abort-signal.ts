/** What is to be done when a signal is aborted, and the one listener that does it. */
interface Waiting {
  readonly actions: Set<() => void>;
  readonly listener: () => void;
}

const waiting = new WeakMap<AbortSignal, Waiting>();

/**
 * Calls `action` when the signal is aborted. Each signal gets one listener, however many actions there are: an EventTarget
 * looks through all of its listeners when one is added or removed.
 */
export function onAbort(signal: AbortSignal, action: () => void): void {
  const { actions } = waiting.get(signal) ?? listenTo(signal);
  actions.add(action);
}

/** Lets go of the action, and with the last one of the signal. */
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
