/** How a measured program reaches the server. */
export interface Route {
  /** For the tables; empty for the ordinary one. */
  readonly label: string;
  readonly url: string;
  /** The program of Node that runs it. */
  readonly node: string;
  /** The network namespace that the program runs in. Default: that of this process. */
  readonly namespace?: string;
}

/** The contestant with its route, as the tables name it. */
export function named(who: string, { label }: Route): string {
  return label === '' ? who : `${who}, ${label}`;
}

/** A command for this route. `ip` becomes the program itself, so its process id is the program's. */
export function commandOn(
  { namespace }: Route,
  command: string,
  args: readonly string[],
): readonly [string, readonly string[]] {
  return namespace === undefined ? [command, args] : ['ip', ['netns', 'exec', namespace, command, ...args]];
}
