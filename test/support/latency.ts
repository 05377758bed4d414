/** With WALWATCH_TEST_LATENCY (milliseconds): what this process receives on a socket is late, at random, in order. Finds tests that depend on timing. */
import { Socket } from 'node:net';

const most = Number(process.env['WALWATCH_TEST_LATENCY'] ?? 0);
/** Of what is received. */
const share = 0.3;

type Received = Parameters<Socket['push']>;

if (most > 0) {
  const { push } = Socket.prototype; // oxlint-disable-line typescript/unbound-method -- called with apply
  const waiting = new WeakMap<Socket, Received[]>();
  const release = (socket: Socket, late: Received[]) => {
    waiting.delete(socket);
    for (const received of late) if (!socket.destroyed) push.apply(socket, received);
  };
  Socket.prototype.push = function (...received) {
    const late = waiting.get(this);
    if (late) late.push(received);
    else if (Math.random() >= share) return push.apply(this, received);
    else {
      const first = [received];
      waiting.set(this, first);
      setTimeout(() => release(this, first), Math.random() * most);
    }
    return true;
  };
}
