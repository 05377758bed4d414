import type { NatsConnection } from '@nats-io/transport-node';
import { isDenial } from './classify.ts';

export interface LinkHost {
  down(): void;
  up(): void;
  /** The connection will not reconnect. */
  closed(): void;
  /** The server denied publishing to this subject. It does not say which part of the application published. */
  denied?(subject: string, error: Error): void;
}

/** Reports when a connection is lost and when it is back. The NATS client reconnects, as its options say. */
export interface Link {
  readonly isDown: boolean;
  close(): void;
}

export function linkOf(connection: NatsConnection, host: LinkHost): Link {
  const status = connection.status();
  let isDown = connection.info === undefined; // the client clears it while it reconnects
  let open = true;
  const follow = async () => {
    for await (const notice of status) {
      const { type } = notice;
      if (!open) return;
      if (type === 'error' && isDenial(notice.error)) host.denied?.(notice.error.subject, notice.error);
      if (type === 'disconnect' && !isDown) {
        isDown = true;
        host.down();
      } else if (type === 'reconnect') {
        isDown = false;
        host.up();
      }
    }
  };
  void follow();
  void connection.closed().then(() => {
    if (open) host.closed();
  });
  return {
    get isDown() {
      return isDown;
    },
    close: () => {
      open = false;
      (status as { stop?: () => void }).stop?.(); // return() would wait for the next status
    },
  };
}
